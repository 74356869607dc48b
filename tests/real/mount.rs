//! Small file systems of our own: ext4 and xfs on loop devices whose image lies in memory, tmpfs.
//!
//! They need root, and loop devices; a trial that cannot have them says so.

#![allow(unsafe_code, reason = "the shutdown call of file systems, and who we are")]

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use libtest_mimic::Failed;

/// What a trial on file systems of our own lacks here.
pub(crate) fn missing(tools: &[&'static str]) -> Vec<&'static str> {
    let mut missing = Vec::new();
    // SAFETY: has no arguments and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        missing.push("root");
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    for tool in ["mount", "umount"].iter().chain(tools) {
        // Administrators' tools may lie beside the path.
        let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
        if !folders.into_iter().any(|folder| folder.join(tool).is_file()) {
            missing.push(tool);
        }
    }
    if tools.iter().any(|tool| tool.starts_with("mkfs")) && !Path::new("/dev/loop-control").exists()
    {
        missing.push("loop devices");
    }
    missing
}

fn run(program: &str, arguments: &[&str]) -> Result<(), Failed> {
    let mut command = Command::new(program);
    command.args(arguments);
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?} ended with {}: {said}", output.status).into())
}

/// A mounted file system, unmounted and forgotten with the value.
#[derive(Debug)]
pub(crate) struct Mount {
    dir: tempfile::TempDir,
    kind: &'static str,
    options: String,
    /// The image, for a file system on a loop device.
    image: Option<PathBuf>,
    is_mounted: bool,
}

impl Mount {
    /// Makes a file system of `kind` (ext4 or xfs) with `mkfs` options of its own, and mounts it.
    pub(crate) fn on_loop(
        kind: &'static str,
        bytes: u64,
        mkfs: &[&str],
        options: &str,
    ) -> Result<Self, Failed> {
        let dir =
            tempfile::Builder::new().prefix("lsmer-mount-").tempdir_in(super::memory_folder())?;
        let image = dir.path().join("image");
        File::create(&image)?.set_len(bytes)?;
        let path = image.display().to_string();
        let force = if kind == "xfs" { "-f" } else { "-F" };
        let arguments: Vec<&str> = mkfs.iter().copied().chain(["-q", force, &path]).collect();
        run(&format!("mkfs.{kind}"), &arguments)?;
        fs::create_dir(dir.path().join("at"))?;
        let options = format!("loop,{options}");
        let mut mount = Self { dir, kind, options, image: Some(image), is_mounted: false };
        mount.mount()?;
        Ok(mount)
    }

    /// A tmpfs of `bytes`.
    pub(crate) fn tmpfs(bytes: u64) -> Result<Self, Failed> {
        let dir = tempfile::Builder::new().prefix("lsmer-mount-").tempdir()?;
        fs::create_dir(dir.path().join("at"))?;
        let options = format!("size={bytes}");
        let mut mount = Self { dir, kind: "tmpfs", options, image: None, is_mounted: false };
        mount.mount()?;
        Ok(mount)
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("at")
    }

    pub(crate) fn mount(&mut self) -> Result<(), Failed> {
        let at = self.path().display().to_string();
        let source = match &self.image {
            Some(image) => image.display().to_string(),
            None => "tmpfs".to_owned(),
        };
        run("mount", &["-t", self.kind, "-o", &self.options, &source, &at])?;
        self.is_mounted = true;
        Ok(())
    }

    pub(crate) fn unmount(&mut self) -> Result<(), Failed> {
        let at = self.path().display().to_string();
        // What a closed index retired is freed when no thread of the process, of whatever other
        // index, looks at it any more: soon, but later than the close.
        let mut attempts = 0;
        while let Err(failed) = run("umount", &[&at]) {
            attempts += 1;
            if attempts == 100 {
                return Err(failed);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.is_mounted = false;
        Ok(())
    }

    /// Gives a tmpfs another size.
    pub(crate) fn resize(&self, bytes: u64) -> Result<(), Failed> {
        let size = format!("remount,size={bytes}");
        run("mount", &["-o", &size, &self.path().display().to_string()])
    }

    /// Cuts the power: the file system forgets what is not on the device, its own journal included,
    /// and takes nothing more. To be followed by [`Mount::restart`].
    pub(crate) fn cut_power(&self) -> Result<(), Failed> {
        /// `_IOR('X', 125, __u32)`, EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN.
        const SHUTDOWN: libc::c_ulong = 0x8004_587d;
        /// Without writing the journal out.
        const NO_LOG_FLUSH: u32 = 2;
        let dir = File::open(self.path())?;
        let how = NO_LOG_FLUSH;
        // SAFETY: the call reads one word, which lives; the descriptor is open.
        let result = unsafe { libc::ioctl(dir.as_raw_fd(), SHUTDOWN as _, &raw const how) };
        if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error().into()) }
    }

    /// Switches the machine on again.
    pub(crate) fn restart(&mut self) -> Result<(), Failed> {
        self.unmount()?;
        self.mount()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.is_mounted {
            // Whatever still uses it lets go first.
            let _ = run("umount", &["-l", &self.path().display().to_string()]);
        }
    }
}
