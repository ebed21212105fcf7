//! What a fuzzer calls: bytes as they might lie on a disk, read as the log reads them. A panic is a finding; bytes that are
//! merely no log are refused by the code itself.

mod damage;
mod format;

pub use damage::damage;
pub use format::format;
