//! Combines sorted cursors, and decides which versions of a key somebody can still see.
//!
//! [`MergeCursor`] makes one sequence in internal order of many; [`VisibleCursor`] shows of that
//! sequence what a reader at one position sees; [`Retain`] tells flush, freeze and compaction
//! which versions nobody can see any more. None of them knows where entries come from.
//!
//! A value of these types belongs to one thread at a time. No I/O but through the cursors given.

mod cursor;
mod retain;
mod visible;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub(crate) use cursor::MergeCursor;
pub(crate) use retain::Retain;
pub(crate) use visible::VisibleCursor;
