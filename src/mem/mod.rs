//! Memory and waiting at the lowest level: atomics, regions, prefetch, epoch cells, parking.
//!
//! Nothing here knows what is stored. Everything may be used by any number of threads at once.
//! Two rules hold throughout: nothing blocks under a pin, and nothing of value is dropped under a
//! pin (it goes to a [`Garbage`] queue, which a background thread empties).

pub(crate) mod atomic;
pub(crate) mod epoch;
pub(crate) mod fork;

mod budget;
pub(crate) mod counter;
mod garbage;
mod held;
mod lines;
mod parking;
#[cfg(all(any(test, feature = "parts"), not(loom)))]
pub(crate) mod parts;
mod prefetch;
mod recycle;
mod region;

#[cfg(all(test, loom))]
mod models;
#[cfg(not(loom))]
#[cfg(test)]
mod tests;

pub(crate) use budget::Budget;
pub(crate) use counter::Counter;
pub(crate) use epoch::EpochCell;
pub(crate) use garbage::Garbage;
pub(crate) use held::Held;
pub(crate) use lines::{LINE_BYTES, Line, Lines};
pub(crate) use parking::{Deadline, Parking};
pub(crate) use prefetch::{prefetch, prefetch_record, prefetch_to_write};
pub(crate) use recycle::{Pooled, Recycler, Use};
pub(crate) use region::{Region, advise_huge};
