//! Sorted table files (`NNNNNN.sst`): written once, then only read.
//!
//! A file holds one section for each of one or more keyspaces, each complete in itself: data
//! blocks, block index, hash index for point reads, filter, properties. [`TableBuilder`] writes
//! one; [`Table`] reads one, point by point or by [`TableCursor`]; in tests `Table::verify` proves
//! one. The format and its invariants T1 to T9 are in `docs/format.md`, chapter Table.
//!
//! Not here: when tables are made, which of them are alive, and the directory's sync.

mod ahead;
#[allow(
    clippy::inline_always,
    reason = "else each step of a point read passes its result by memory"
)]
mod block;
mod builder;
mod cursor;
mod encode;
mod expect;
mod fetch;
mod filter;
mod format;
#[allow(
    clippy::inline_always,
    reason = "else each step of a point read passes its result by memory"
)]
mod hash_index;
mod index;
mod key_buf;
mod output;
#[cfg(all(any(test, feature = "parts"), not(loom)))]
pub(crate) mod parts;
mod pending;
#[allow(
    clippy::inline_always,
    reason = "else each step of a point read passes its result by memory"
)]
mod point;
mod properties;
mod read;
mod section;
mod section_builder;
mod share;
mod spots;
mod table;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod verify;
mod warm;

pub(crate) use builder::TableBuilder;
pub(crate) use cursor::TableCursor;
pub(crate) use point::{Glance, Place, PointReader, Seen};
pub(crate) use table::{BlockSlice, Found, Table};
