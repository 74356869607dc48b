//! Clock, randomness, threads, boot id and process id: the seam between the engine and the rest of
//! the operating system. Tests replace it and step background work on one thread.

#[cfg(any(target_os = "linux", test))]
mod memory;
pub(crate) mod real;
#[cfg(test)]
pub(crate) mod sim;
#[cfg(test)]
mod tests;

use std::thread::JoinHandle;

use crate::base::Result;

/// What the engine asks of the operating system, files apart. Callable from any thread.
pub(crate) trait Os: Send + Sync {
    /// Nanoseconds since some fixed moment; never goes back.
    fn monotonic_ns(&self) -> u64;
    /// Milliseconds since 1970; may jump.
    fn unix_ms(&self) -> u64;
    /// Random bits, unpredictable to others.
    fn random_u64(&self) -> u64;
    /// Identifies this boot of the machine; 0 where it cannot be known (then nothing is proved by
    /// it: two zeros are not equal).
    fn boot_id(&self) -> u128;
    /// Bytes of memory that this process may use, page cache included; `u64::MAX` where that is not
    /// known.
    fn memory_bytes(&self) -> u64;
    /// The process id.
    fn process_id(&self) -> u32;
    /// Runs `body` on a new thread. Never called when [`Os::is_stepped`].
    fn spawn(&self, name: &str, body: Box<dyn FnOnce() + Send>) -> Result<JoinHandle<()>>;
    /// Processors that this process may use at once, at least 1.
    fn processors(&self) -> usize;
    /// Whether background work runs only when somebody steps it: a waiter then runs pending jobs
    /// itself, and a wait that no job can end is `Busy`.
    fn is_stepped(&self) -> bool;
}
