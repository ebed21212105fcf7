//! Ports for servers that are told where to listen.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below those that the kernel gives away by itself (Linux from 32768 on, others from 49152): one of these may be an outgoing
/// connection's before the server listens there.
const FIRST: u16 = 10_000;
const COUNT: u16 = 22_768;

/// A port nobody listens on now, and another one at each call.
pub(crate) fn free_port() -> u16 {
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new(rand::random_range(0..COUNT)));
    loop {
        let port = FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
