//! What the end-to-end tests stand on: the real binary as a child, a client, and tools that are not our code.

mod delivery;
mod following;
mod load;
mod port;
mod process;
mod raw;
mod receiver;
mod server;
mod tools;
mod wait;

pub(crate) use delivery::{Answer, Signed, github_headers};
pub(crate) use following::Following;
pub(crate) use load::Load;
pub(crate) use port::free_port;
pub(crate) use process::{alive, child_running, descendants, kill9, peak_resident_bytes, send as signal};
pub(crate) use raw::{RawAnswer, RawConnection};
pub(crate) use receiver::{Behaviour, Receiver, Taken};
pub(crate) use server::{Launch, SECRET, Server};
pub(crate) use tools::{Tools, body_of, client, openssl_signature};
pub(crate) use wait::eventually;

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_hooklog");

/// A number from the environment, for the long versions of tests.
pub(crate) fn knob(name: &str, default: usize) -> usize {
    #[allow(
        clippy::disallowed_methods,
        reason = "the knobs of the tests are no settings of the product"
    )]
    let value = std::env::var(name);
    value.map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number"))
    })
}
