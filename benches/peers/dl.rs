//! Shared libraries that are found when the program runs, so that it links with none of them.

use std::ffi::{CStr, CString, c_void};
use std::path::PathBuf;
use std::process::Command;

use crate::engine::Outcome;

/// A loaded library; never unloaded, as the engines' threads may outlive their databases.
pub(crate) struct Library {
    handle: *mut c_void,
    name: String,
}

impl Library {
    pub(crate) fn open(path: &str) -> Outcome<Self> {
        let name = CString::new(path).map_err(|error| error.to_string())?;
        // SAFETY: the name ends with NUL; initialisers of an engine's library may run.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if handle.is_null() {
            // SAFETY: dlerror lends a text that ends with NUL, or NULL.
            let said = unsafe { text(libc::dlerror()) };
            return Err(format!("{path}: {said}"));
        }
        Ok(Self { handle, name: path.to_owned() })
    }

    /// The function `name`, which ends with NUL.
    ///
    /// # Safety
    /// `F` is the type of a function pointer, with the prototype that the library's header gives.
    pub(crate) unsafe fn function<F: Copy>(&self, name: &str) -> Outcome<F> {
        assert_eq!(size_of::<F>(), size_of::<*mut c_void>(), "a function pointer");
        let c_name = CStr::from_bytes_with_nul(name.as_bytes()).map_err(|e| e.to_string())?;
        // SAFETY: the handle is open; the name ends with NUL.
        let address = unsafe { libc::dlsym(self.handle, c_name.as_ptr()) };
        if address.is_null() {
            return Err(format!("{} has no {}", self.name, name.trim_end_matches('\0')));
        }
        // SAFETY: of one size, as asserted; the caller vouches for the prototype.
        Ok(unsafe { std::mem::transmute_copy(&address) })
    }
}

/// A copy of a C text; "" for NULL.
///
/// # Safety
/// `from` is NULL or ends with NUL.
pub(crate) unsafe fn text(from: *const libc::c_char) -> String {
    if from.is_null() {
        return String::new();
    }
    // SAFETY: as the caller vouches.
    unsafe { CStr::from_ptr(from) }.to_string_lossy().into_owned()
}

/// The path of an installed library whose file name begins with `name`, from the loader's cache.
pub(crate) fn installed(name: &str) -> Option<PathBuf> {
    let tool = ["/sbin/ldconfig", "/usr/sbin/ldconfig", "ldconfig"];
    let output = tool.iter().find_map(|tool| Command::new(tool).arg("-p").output().ok())?;
    let list = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = list.lines().find(|line| line.trim_start().starts_with(name))?;
    line.rsplit(" => ").next().map(PathBuf::from)
}

/// A table of functions of a library, all with one prefix.
macro_rules! api {
    ($name:ident, $prefix:literal, {
        $($function:ident($($argument:ty),* $(,)?) $(-> $result:ty)?;)*
    }) => {
        struct $name {
            $($function: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
        }

        impl $name {
            fn load(library: &$crate::dl::Library) -> $crate::engine::Outcome<Self> {
                Ok(Self {
                    $(
                        // SAFETY: the prototype is that of the library's public header.
                        $function: unsafe {
                            library.function(concat!($prefix, stringify!($function), "\0"))
                        }?,
                    )*
                })
            }
        }
    };
}

/// Calls a function of such a table.
macro_rules! call {
    ($api:expr, $function:ident($($argument:expr),* $(,)?)) => {{
        let function = $api.$function;
        // SAFETY: objects are live (adapters destroy them only in close and drop), each pointer
        // goes with the length of its slice, and results are written into locals that outlive the
        // call. What the adapter's header says of threads holds.
        unsafe { function($($argument),*) }
    }};
}

pub(crate) use {api, call};
