//! A directory in memory for the tests of `manifest` and `wal`: it remembers what was synced, can
//! fail a chosen call, and counts calls. `vfs::sim` is the strict one; this one is small. Also reads
//! the worked bytes of `docs/format.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::base::{Error, Result};
use crate::vfs::{Dir, DirLock, File, Listed, LockMode, LogMap, MountInfo};

/// The id of the only mount.
pub(crate) const MOUNT_ID: u64 = 77;

/// Content of one file, now and as of its last sync.
#[derive(Clone, Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
}

#[derive(Default)]
struct Disk {
    names: BTreeMap<String, Arc<Mutex<Content>>>,
    durable_names: BTreeMap<String, Arc<Mutex<Content>>>,
    calls: u64,
    fail_call: Option<u64>,
}

/// The directory. Clones share everything.
#[derive(Clone, Default)]
pub(crate) struct MemDir {
    disk: Arc<Mutex<Disk>>,
}

impl MemDir {
    /// Makes call number `n` from now on (1 is the next) fail once with EIO, without effect.
    pub(crate) fn fail_call(&self, n: u64) {
        let mut disk = self.disk.lock();
        disk.fail_call = Some(disk.calls + n);
    }

    /// How many calls that change or sync something were made.
    pub(crate) fn calls(&self) -> u64 {
        self.disk.lock().calls
    }

    /// The directory after a power failure that kept nothing but what was synced.
    pub(crate) fn after_power_loss(&self) -> Self {
        let disk = self.disk.lock();
        let durable = |content: &Arc<Mutex<Content>>| content.lock().durable.clone();
        Self::of(disk.durable_names.iter().map(|(name, content)| (name.clone(), durable(content))))
    }

    /// The directory after a power failure that kept any sectors of what was not synced, each if
    /// `keeps` says so. Names that were not synced are kept or not, as well.
    pub(crate) fn after_torn_power_loss(&self, keeps: &mut dyn FnMut() -> bool) -> Self {
        let disk = self.disk.lock();
        let mut files = Vec::new();
        for (name, content) in &disk.names {
            if !disk.durable_names.contains_key(name) && !keeps() {
                continue;
            }
            let Content { now, durable } = content.lock().clone();
            let longer = if keeps() { now.len() } else { durable.len() };
            let mut bytes = durable;
            bytes.resize(longer, 0);
            for begin in (0..longer.min(now.len())).step_by(512) {
                let end = longer.min(now.len()).min(begin + 512);
                if keeps() {
                    bytes[begin..end].copy_from_slice(&now[begin..end]);
                }
            }
            files.push((name.clone(), bytes));
        }
        Self::of(files)
    }

    /// The directory after the process died: everything is there.
    pub(crate) fn after_process_death(&self) -> Self {
        let disk = self.disk.lock();
        Self::of(disk.names.iter().map(|(name, file)| (name.clone(), file.lock().now.clone())))
    }

    /// A directory of these files, all durable.
    pub(crate) fn of(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let dir = Self::default();
        for (name, bytes) in files {
            dir.set(&name, bytes);
        }
        dir
    }

    /// All files with their bytes.
    pub(crate) fn files(&self) -> Vec<(String, Vec<u8>)> {
        let disk = self.disk.lock();
        disk.names.iter().map(|(name, file)| (name.clone(), file.lock().now.clone())).collect()
    }

    /// The bytes of a file that exists.
    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        self.disk.lock().names.get(name).expect("file exists").lock().now.clone()
    }

    /// Puts a file there, durable.
    pub(crate) fn set(&self, name: &str, bytes: Vec<u8>) {
        let content = Content { durable: bytes.clone(), now: bytes };
        let content = Arc::new(Mutex::new(content));
        let mut disk = self.disk.lock();
        disk.names.insert(name.to_owned(), Arc::clone(&content));
        disk.durable_names.insert(name.to_owned(), content);
    }

    fn step(&self, doing: &str) -> Result<()> {
        let mut disk = self.disk.lock();
        disk.calls += 1;
        if disk.fail_call == Some(disk.calls) {
            return Err(errno(doing, libc::EIO));
        }
        Ok(())
    }

    fn find(&self, name: &str) -> Result<Arc<Mutex<Content>>> {
        let found = self.disk.lock().names.get(name).cloned();
        found.ok_or_else(|| errno(name, libc::ENOENT))
    }
}

fn errno(doing: &str, errno: i32) -> Error {
    Error::io(doing, Path::new("/mem"), &std::io::Error::from_raw_os_error(errno))
}

impl Dir for MemDir {
    fn path(&self) -> &Path {
        Path::new("/mem")
    }

    fn list(&self) -> Result<Vec<Listed>> {
        let files = self.files().into_iter();
        Ok(files
            .map(|(name, bytes)| Listed { name, is_file: true, bytes: bytes.len() as u64 })
            .collect())
    }

    fn create(&self, name: &str) -> Result<Arc<dyn File>> {
        self.step("create")?;
        let content = Arc::new(Mutex::new(Content::default()));
        let mut disk = self.disk.lock();
        if disk.names.contains_key(name) {
            return Err(errno(name, libc::EEXIST));
        }
        disk.names.insert(name.to_owned(), Arc::clone(&content));
        Ok(Arc::new(MemFile { name: name.to_owned(), content, dir: self.clone() }))
    }

    fn open(&self, name: &str, _writable: bool) -> Result<Arc<dyn File>> {
        let content = self.find(name)?;
        Ok(Arc::new(MemFile { name: name.to_owned(), content, dir: self.clone() }))
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.step("remove")?;
        let removed = self.disk.lock().names.remove(name);
        removed.map(drop).ok_or_else(|| errno(name, libc::ENOENT))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.step("rename")?;
        let content = self.find(from)?;
        let mut disk = self.disk.lock();
        disk.names.remove(from);
        disk.names.insert(to.to_owned(), content);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.step("sync the directory")?;
        let mut disk = self.disk.lock();
        disk.durable_names = disk.names.clone();
        Ok(())
    }

    fn lock(&self, _mode: LockMode, _pid: u32) -> Result<Box<dyn DirLock>> {
        Err(Error::unsupported("locks"))
    }

    fn free_bytes(&self) -> Result<u64> {
        Ok(u64::MAX)
    }

    fn mount(&self) -> Result<MountInfo> {
        Ok(MountInfo { mount_id: MOUNT_ID, mapped_log: true })
    }
}

struct MemFile {
    name: String,
    content: Arc<Mutex<Content>>,
    dir: MemDir,
}

fn index(n: u64) -> usize {
    usize::try_from(n).expect("small")
}

fn store(content: &Mutex<Content>, bytes: &[u8], offset: u64) {
    let mut content = content.lock();
    let (begin, end) = (index(offset), index(offset) + bytes.len());
    if content.now.len() < end {
        content.now.resize(end, 0);
    }
    content.now[begin..end].copy_from_slice(bytes);
}

impl File for MemFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> Result<u64> {
        Ok(self.content.lock().now.len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        let content = self.content.lock();
        let rest = content.now.get(index(offset)..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.dir.step("write")?;
        store(&self.content, bytes, offset);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.dir.step("sync")?;
        let mut content = self.content.lock();
        content.durable = content.now.clone();
        Ok(())
    }

    fn allocate(&self, bytes: u64) -> Result<()> {
        self.dir.step("allocate")?;
        let mut content = self.content.lock();
        let length = content.now.len().max(index(bytes));
        content.now.resize(length, 0);
        Ok(())
    }

    fn map(&self, bytes: u64) -> Result<Arc<dyn LogMap>> {
        self.dir.step("map")?;
        let map = MemMap { content: Arc::clone(&self.content), bytes, dir: self.dir.clone() };
        Ok(Arc::new(map))
    }
}

struct MemMap {
    content: Arc<Mutex<Content>>,
    bytes: u64,
    dir: MemDir,
}

impl LogMap for MemMap {
    fn store(&self, offset: u64, bytes: &[u8]) {
        assert!(offset + bytes.len() as u64 <= self.bytes, "store outside the map");
        store(&self.content, bytes, offset);
    }

    fn store_words(&self, offset: u64, words: &[u64]) {
        assert_eq!(offset % 8, 0);
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.store(offset, &bytes);
    }

    fn populate(&self, _from: u64, _to: u64) {}

    fn release(&self, _offset: u64) {}

    fn sync(&self, from: u64, to: u64) -> Result<()> {
        self.dir.step("msync")?;
        let mut content = self.content.lock();
        let (from, to) = (index(from), index(to));
        let now = content.now[from..to].to_vec();
        if content.durable.len() < to {
            content.durable.resize(to, 0);
        }
        content.durable[from..to].copy_from_slice(&now);
        Ok(())
    }
}

/// Checks the block of worked bytes that `docs/format.md` names `name`.
///
/// Lines are an offset and up to 16 bytes; `*` stands for zeros up to the next offset.
pub(crate) fn assert_page_shows(name: &str, bytes: &[u8]) {
    let (page, wanted) = (page_block(name), dump(bytes));
    assert!(page == wanted, "docs/format.md, block {name}, should be\n{wanted}");
}

/// The bytes of a block of `docs/format.md`.
pub(crate) fn page_bytes(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in page_block(name).lines().filter(|line| *line != "*") {
        let (offset, values) = line.split_once("  ").unwrap_or((line, ""));
        let offset = usize::from_str_radix(offset, 16).expect("an offset");
        bytes.resize(offset, 0);
        let values = values.split_whitespace();
        bytes.extend(values.map(|value| u8::from_str_radix(value, 16).expect("a byte")));
    }
    bytes
}

fn page_block(name: &str) -> String {
    let page = include_str!("../../docs/format.md");
    let begin = format!("```hex {name}\n");
    let (_, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("no block {name}"));
    rest.split_once("```").expect("the block ends").0.to_owned()
}

fn dump(bytes: &[u8]) -> String {
    let mut out = String::new();
    let mut zeros = false;
    for (line, chunk) in bytes.chunks(16).enumerate() {
        let is_zero = chunk.iter().all(|&byte| byte == 0) && chunk.len() == 16;
        if !is_zero {
            let values: Vec<_> = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
            let _ = writeln!(out, "{:04x}  {}", line * 16, values.join(" "));
        } else if !zeros {
            out += "*\n";
        }
        zeros = is_zero;
    }
    if zeros {
        let _ = writeln!(out, "{:04x}", bytes.len());
    }
    out
}
