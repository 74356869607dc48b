//! What the machine and this process have used: processor time, bytes, memory, space.
//!
//! Reads `/proc`; where a file is missing the figure is 0.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Counters at one moment. The difference of two says what a step cost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meter {
    /// Processor seconds of this process.
    pub(crate) cpu: f64,
    /// Processor seconds of the whole machine.
    pub(crate) busy: f64,
    /// Bytes handed to the OS by calls.
    pub(crate) called: f64,
    /// Bytes of pages that were made dirty, through mappings too.
    pub(crate) dirtied: f64,
}

impl Meter {
    pub(crate) fn now() -> Self {
        let io = fs::read_to_string("/proc/self/io").unwrap_or_default();
        Self {
            cpu: own_cpu(),
            busy: machine_cpu(),
            called: number(&io, "wchar:"),
            dirtied: number(&io, "\nwrite_bytes:"),
        }
    }
}

/// The number behind `name` in `text`; 0 if it is not there.
fn number(text: &str, name: &str) -> f64 {
    let rest = text.find(name).map_or("", |at| &text[at + name.len()..]);
    let word = rest.split_whitespace().next().unwrap_or("0");
    word.parse().unwrap_or(0.0)
}

fn own_cpu() -> f64 {
    // SAFETY: all zero is a value of this struct of integers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: written within.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
    let secs = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    secs(usage.ru_utime) + secs(usage.ru_stime)
}

/// All but idle, waiting and guests' time, which user time has already.
fn machine_cpu() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = line.split_whitespace().skip(1).filter_map(|w| w.parse().ok()).collect();
    let used: f64 = [0, 1, 2, 5, 6, 7].iter().filter_map(|&at| ticks.get(at)).sum();
    // SAFETY: no arguments that could be wrong.
    used / (unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).max(1) as f64
}

/// Lets the peak of resident memory start again from what is resident now.
pub(crate) fn reset_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// Peak resident bytes since [`reset_peak`].
pub(crate) fn peak_bytes() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    number(&status, "VmHWM:") * 1024.0
}

/// Bytes that the files of a folder occupy on disk.
pub(crate) fn disk_bytes(folder: &Path) -> f64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0.0 };
    entries.flatten().fold(0.0, |sum, entry| {
        let Ok(meta) = entry.metadata() else { return sum };
        sum + if meta.is_dir() { disk_bytes(&entry.path()) } else { meta.blocks() as f64 * 512.0 }
    })
}

/// Keeps the calling thread on the processor of this number, modulo those that it may use. Where a
/// disk interrupts one processor, a thread on another one waits nearly twice as long for it, and stays
/// where it is for seconds: engines would be told apart by where the scheduler has put them.
pub(crate) fn stay_on(number: usize) {
    // SAFETY: an array of integers, for which zeros are right.
    let (mut allowed, mut one): (libc::cpu_set_t, libc::cpu_set_t) = unsafe { std::mem::zeroed() };
    let bytes = size_of::<libc::cpu_set_t>();
    // SAFETY: the set is as long as is said.
    if unsafe { libc::sched_getaffinity(0, bytes, &raw mut allowed) } != 0 {
        return;
    }
    // SAFETY: the numbers are below the set's length.
    let is_allowed = |cpu: &usize| unsafe { libc::CPU_ISSET(*cpu, &allowed) };
    let cpus: Vec<usize> = (0..8 * bytes).filter(is_allowed).collect();
    if let Some(cpu) = cpus.get(number % cpus.len().max(1)) {
        // SAFETY: as above.
        unsafe {
            libc::CPU_SET(*cpu, &mut one);
            libc::sched_setaffinity(0, bytes, &raw const one);
        }
    }
}

/// Writes out what the file systems have in memory, so that one engine's bytes are not written in
/// another's time.
pub(crate) fn sync() {
    // SAFETY: no arguments.
    unsafe { libc::sync() };
}

/// Lets go of a folder's files in the page cache.
pub(crate) fn forget_pages(folder: &Path) {
    use std::os::fd::AsRawFd;
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if entry.path().is_dir() {
            forget_pages(&entry.path());
        } else if let Ok(file) = fs::File::open(entry.path()) {
            let _ = file.sync_all();
            // SAFETY: an open file; advice changes no bytes.
            unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
        }
    }
}

/// Model of the processor, for the head of the report.
pub(crate) fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info.lines().find(|line| line.starts_with("model name")).unwrap_or_default();
    line.split(": ").nth(1).unwrap_or("unknown").to_owned()
}

/// Bytes of memory of the machine.
pub(crate) fn memory_bytes() -> f64 {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    number(&info, "MemTotal:") * 1024.0
}

/// Release of the kernel.
pub(crate) fn kernel() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("Linux {}", release.trim())
}

/// Processes that want to run, over 1, 5 and 15 minutes.
pub(crate) fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}
