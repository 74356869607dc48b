//! The parent's end of a child process: one engine that works only while it is asked.
//!
//! Between its steps a child is stopped, so that its background work is done in its own time and
//! never in another engine's.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use crate::child::Orders;
use crate::engine::Outcome;
use crate::json::Record;
use crate::step::{Kind, Step};

/// The hidden argument that makes a child of this program.
pub(crate) const CHILD: &str = "--peer-child";

/// Longer than any step takes that does not hang.
const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) struct Process {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    group: Option<Group>,
}

impl Process {
    /// Starts a child, which waits for its first step. With a limit of memory it runs in a cgroup.
    pub(crate) fn start(orders: &Orders, memory_limit: Option<u64>) -> Outcome<Self> {
        let group = memory_limit.map(|bytes| Group::new(&orders.engine, bytes)).transpose()?;
        let mut orders = orders.clone();
        if let Some(group) = &group {
            orders.group = group.path.to_string_lossy().into_owned();
        }
        let program = env::current_exe().map_err(|error| error.to_string())?;
        let mut child = Command::new(program)
            .args([CHILD, &orders.line()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let input = child.stdin.take().ok_or("no input")?;
        let output = child.stdout.take().ok_or("no output")?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { child, input, lines, group })
    }

    /// Has a step done. No record after [`Kind::Crash`], which nothing answers.
    pub(crate) fn ask(&mut self, step: &Step) -> Outcome<Option<Record>> {
        self.signal(libc::SIGCONT);
        writeln!(self.input, "{}", step.line()).map_err(|error| error.to_string())?;
        let answer = self.lines.recv_timeout(PATIENCE);
        if step.kind == Kind::Crash {
            return Ok(None);
        }
        let line = answer.map_err(|error| match error {
            RecvTimeoutError::Timeout => format!("no answer in {PATIENCE:?}"),
            RecvTimeoutError::Disconnected => {
                let status = self.child.wait().map_or_else(|e| e.to_string(), |s| s.to_string());
                format!("died: {status}")
            }
        })?;
        self.signal(libc::SIGSTOP);
        let record = Record::parse(&line).ok_or_else(|| format!("said {line}"))?;
        match record.text("error") {
            "" => Ok(Some(record)),
            error => Err(error.to_owned()),
        }
    }

    fn signal(&self, signal: libc::c_int) {
        // SAFETY: signals a child that was not waited for, so the number is still its own.
        unsafe { libc::kill(self.child.id() as libc::pid_t, signal) };
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.group.take();
    }
}

/// A memory cgroup with a limit, of version 1 or 2; removed with the value.
struct Group {
    path: PathBuf,
}

impl Group {
    fn new(engine: &str, bytes: u64) -> Outcome<Self> {
        let name = format!("lsmer-peers-{}-{engine}", std::process::id());
        let first = Path::new("/sys/fs/cgroup/memory");
        let (parent, limit) = if first.is_dir() {
            (first, "memory.limit_in_bytes")
        } else {
            (Path::new("/sys/fs/cgroup"), "memory.max")
        };
        let group = Self { path: parent.join(name) };
        let made = fs::create_dir(&group.path)
            .and_then(|()| fs::write(group.path.join(limit), bytes.to_string()));
        made.map_err(|error| format!("a memory cgroup needs root: {error}"))?;
        Ok(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The last process may still be leaving.
        for _ in 0..50 {
            if fs::remove_dir(&self.path).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}
