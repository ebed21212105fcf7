//! What a crash may leave of secrets on a disk.

use rustix::process::{Resource, Rlimit, setrlimit};

/// From now on a crash of this process, and of those that it starts, writes no core file.
///
/// # Errors
/// When the system says no.
pub fn forbid_core_dumps() -> std::io::Result<()> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    Ok(setrlimit(Resource::Core, none)?)
}
