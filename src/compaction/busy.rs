//! The jobs that run now: what they read, and where they write.
//!
//! Threads: the engine keeps one under the lock under which it picks and installs.

use crate::base::{FileNumber, KeyspaceId, Level};

use super::Job;
use crate::version::Section;

/// Names a running job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BusyId(u64);

/// The jobs that run now.
#[derive(Default)]
pub(crate) struct Busy {
    jobs: Vec<Running>,
    next: u64,
}

struct Running {
    id: BusyId,
    keyspace: KeyspaceId,
    inputs: Vec<FileNumber>,
    output: Level,
    smallest: Vec<u8>,
    largest: Vec<u8>,
}

impl Busy {
    /// Registers a job that is about to run; it must not be in conflict with another.
    pub(crate) fn start(&mut self, job: &Job) -> BusyId {
        debug_assert!(!self.conflicts(job), "K3");
        let id = BusyId(self.next);
        self.next += 1;
        self.jobs.push(Running {
            id,
            keyspace: job.keyspace(),
            inputs: job.inputs().iter().map(|(_, section)| section.number()).collect(),
            output: job.output_level(),
            smallest: job.smallest().to_vec(),
            largest: job.largest().to_vec(),
        });
        id
    }

    /// Forgets a job, after its edit was installed or its outputs were discarded.
    pub(crate) fn finish(&mut self, id: BusyId) {
        self.jobs.retain(|job| job.id != id);
    }

    /// Whether nothing runs.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Whether a job reads this section.
    pub(crate) fn holds(&self, section: &Section) -> bool {
        let (keyspace, number) = (section.meta().keyspace, section.number());
        self.jobs.iter().any(|job| job.keyspace == keyspace && job.inputs.contains(&number))
    }

    /// Whether `job` may not run beside the jobs that do (K3).
    pub(crate) fn conflicts(&self, job: &Job) -> bool {
        let writes_there = |running: &Running| {
            running.keyspace == job.keyspace()
                && running.output == job.output_level()
                && running.smallest.as_slice() <= job.largest()
                && job.smallest() <= running.largest.as_slice()
        };
        job.inputs().iter().any(|(_, section)| self.holds(section))
            || self.jobs.iter().any(writes_there)
    }
}
