//! Named mutants: bugs that the tests must catch (`docs/reliability.md`).
//!
//! A build with `RUSTFLAGS="--cfg lsmer_mutants"` turns on the one that `LSMER_MUTANT` names; in
//! every other build [`mutant`] is the constant `false` and costs nothing.

/// Whether the named bug is switched on.
#[cfg(lsmer_mutants)]
pub(crate) fn mutant(name: &str) -> bool {
    static CHOSEN: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    CHOSEN.get_or_init(|| std::env::var("LSMER_MUTANT").unwrap_or_default()) == name
}

/// Whether the named bug is switched on: never, in this build.
#[cfg(not(lsmer_mutants))]
#[inline]
pub(crate) const fn mutant(_name: &str) -> bool {
    false
}

/// Gives other threads time to do what a mutant fears; only mutants call it.
#[allow(clippy::disallowed_methods, reason = "never runs in an ordinary build")]
pub(crate) fn dawdle() {
    std::thread::sleep(std::time::Duration::from_micros(200));
}
