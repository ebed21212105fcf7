//! The calls that the compiler can't check. Nothing else in the workspace may be `unsafe`.
#![allow(
    unsafe_code,
    reason = "loading ClickHouse's library, ending without running its destructors, and the step between fork and exec have no safe form"
)]

use std::ffi::{CString, c_char, c_int, c_void};
use std::path::Path;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

/// ClickHouse's whole `clickhouse-local` program; returns when its last statement has ended.
type QueryStableV2 = unsafe extern "C" fn(argc: c_int, argv: *mut *mut c_char) -> *mut c_void;

/// Why the library could not be run.
#[derive(Debug, thiserror::Error)]
pub(super) enum LibraryError {
    #[error("loading the ClickHouse library")]
    Load(#[source] libloading::Error),
    #[error("the ClickHouse library has no query_stable_v2")]
    Symbol(#[source] libloading::Error),
    #[error("an argument contains a zero byte")]
    Argument(#[from] std::ffi::NulError),
    #[error("too many arguments")]
    TooMany(#[from] std::num::TryFromIntError),
}

/// Runs ClickHouse in this thread until its last statement ends. The process should end after that:
/// the library can be neither run again nor unloaded.
pub(super) fn run_clickhouse(library: &Path, arguments: &[String]) -> Result<(), LibraryError> {
    let arguments = arguments
        .iter()
        .map(|text| CString::new(text.as_str()))
        .collect::<Result<Vec<_>, _>>()?;
    let count = c_int::try_from(arguments.len())?;
    let mut pointers: Vec<*mut c_char> = arguments.into_iter().map(CString::into_raw).collect();
    pointers.push(std::ptr::null_mut());
    // SAFETY: the file is the pinned library, checked by its hash; its initialisers expect nothing of us.
    let library =
        unsafe { Library::open(Some(library), RTLD_NOW | RTLD_GLOBAL) }.map_err(LibraryError::Load)?;
    // SAFETY: the symbol has this type in the pinned version.
    let run = unsafe { library.get::<QueryStableV2>(b"query_stable_v2\0") }.map_err(LibraryError::Symbol)?;
    // SAFETY: `pointers` holds `count` C strings and a null, writable and never freed, as for `main`.
    unsafe { run(count, pointers.as_mut_ptr()) };
    std::mem::forget(library);
    Ok(())
}

/// Ends the process at once: no destructors, no exit handlers, which the library would not survive.
pub(super) fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` has no preconditions.
    unsafe { libc::_exit(code) }
}

/// Makes a command's process die with this one, by SIGKILL, when the thread that spawns it ends. That
/// thread must live as long as this process.
#[cfg(target_os = "linux")]
pub(super) fn die_with_parent(command: &mut tokio::process::Command) {
    use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};

    let parent = getpid();
    let in_child = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have ended before the call above: then nobody would ever be told.
        if getppid() == Some(parent) {
            Ok(())
        } else {
            Err(std::io::Error::from(rustix::io::Errno::CHILD))
        }
    };
    // SAFETY: between fork and exec only two system calls are made; nothing is allocated or locked.
    unsafe { command.pre_exec(in_child) };
}

/// Other systems have no such call: there the child notices the end of its standard input.
#[cfg(not(target_os = "linux"))]
pub(super) fn die_with_parent(_command: &mut tokio::process::Command) {}
