//! Tests of the engine on simulated files, stepped on one thread.

mod basics;
mod budget;
mod crash;
mod damage;
mod direct;
mod fault;
mod flushes;
mod history;
mod idle;
mod life;
mod long;
mod look;
mod machine;
mod model;
mod packed;
mod proofs;
mod races;
mod read_debt;
mod reopened;
mod script;
mod throttle;
mod warm;
