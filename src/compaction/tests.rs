//! Compaction against brute force: histories, faults, picking.

mod faults;
mod history;
mod picking;
mod tree;
