//! Versions, names of codes, and environments.

use std::ffi::c_char;

use super::bytes::Out;
use super::constants::{LSM_ABI, LSM_OK};
use super::guard::{guard, guard_quietly};
use super::handle::{self, EnvObject};
use super::options;
use super::status;
use super::types::{lsm_env, lsm_env_opts, lsm_error, lsm_rc};
use crate::engine::Env;

/// The number of the ABI that this library has; the header's is LSM_ABI.
///
/// - Threads: any.
/// - Owns: nothing.
/// - Valid until: for ever.
/// - Blocks: never.
/// - Errors: none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_abi_version() -> u32 {
    LSM_ABI
}

/// The version of this library, such as "0.1.0".
///
/// - Threads: any.
/// - Owns: nothing; the text is static.
/// - Valid until: for ever.
/// - Blocks: never.
/// - Errors: none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_version() -> *const c_char {
    const TEXT: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    TEXT.as_ptr().cast()
}

/// The name of a code, such as "LSM_E_BUSY"; "LSM_UNKNOWN" for a number that is none.
///
/// - Threads: any.
/// - Owns: nothing; the text is static.
/// - Valid until: for ever.
/// - Blocks: never.
/// - Errors: none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_rc_name(rc: lsm_rc) -> *const c_char {
    status::name(rc).as_ptr()
}

/// Makes an environment: one memory budget, thread pool and I/O budget for any number of
/// databases. `o` may be NULL.
///
/// - Threads: any.
/// - Owns: the caller owns *out; lsm_env_release gives it back.
/// - Valid until: released; databases keep what they need of it beyond that.
/// - Blocks: no.
/// - Errors: LSM_E_INVALID, LSM_E_UNSUPPORTED, LSM_E_NOMEM, LSM_E_IO, LSM_E_FORKED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_env_create(
    o: *const lsm_env_opts,
    out: *mut *mut lsm_env,
    err: *mut lsm_error,
) -> lsm_rc {
    let body = |_: &handle::Call| {
        // SAFETY: the caller passes NULL or a writable pointer.
        let out = unsafe { Out::handle(out, "out") }?;
        handle::check_fork()?;
        // SAFETY: the caller passes NULL or a struct of the size that it says.
        let options = options::env(unsafe { options::read(o) }?)?;
        let made = handle::create(EnvObject { env: Env::real(options)? })?;
        // SAFETY: as above.
        unsafe { out.set(made) };
        Ok(LSM_OK)
    };
    // SAFETY: the caller passes NULL or 256 writable bytes.
    unsafe { guard("lsm_env_create", err, body) }
}

/// Gives an environment back. Databases opened in it go on; its threads end with the last one.
/// Does nothing for NULL, a released handle, or in a forked child.
///
/// - Threads: any.
/// - Owns: takes env.
/// - Valid until: returns; env is stale then.
/// - Blocks: until background threads have ended, when no database is left in it.
/// - Errors: none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lsm_env_release(env: *mut lsm_env) {
    guard_quietly("lsm_env_release", (), |_| handle::release::<EnvObject>(env));
}
