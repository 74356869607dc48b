//! Every exported C symbol, and nothing else: the other side of `include/lsmer.h`.
//!
//! One file for each C object; an exported function is a guard, conversions, one call of the
//! engine, and conversions back. The mechanism is in `guard` (panics, errno), `handle` over `slab`,
//! `hazard` and `barrier` (handles), `bytes`, `options` and `status` (conversions) and `hook`
//! (callbacks).
//!
//! cbindgen makes the header from the files that `build.rs` lists, in its order, and does not see
//! functions made by macros: macros may make bodies here, never signatures. The doc comment of an
//! exported item is its text in the header and is written for C. Any function may be called from
//! any thread unless its own text narrows that.

#![allow(unsafe_code, reason = "pointers from C are turned into slices and outputs here")]
#![allow(non_camel_case_types, reason = "the names are those of the C header")]
#![allow(clippy::missing_safety_doc, reason = "what C must keep to is said in C's words")]
#![allow(clippy::too_many_arguments, reason = "the C API passes lengths beside pointers")]

pub mod admin;
pub mod batch;
pub mod constants;
pub mod db;
pub mod iter;
pub mod keyspace;
pub mod library;
pub mod read;
pub mod snapshot;
pub mod types;
pub mod write;

mod barrier;
mod bytes;
mod guard;
#[allow(clippy::inline_always, reason = "a step of a cursor is hardly more than its lookup")]
mod handle;
mod hazard;
mod hook;
mod options;
#[cfg(all(any(test, feature = "parts"), not(loom)))]
pub(crate) mod parts;
mod shelf;
#[allow(clippy::inline_always, reason = "as above")]
mod slab;
mod status;

#[cfg(all(test, loom))]
mod models;
#[cfg(all(test, not(loom)))]
mod tests;
