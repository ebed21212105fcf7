//! The header in which proxies name who asked them.

use std::net::{IpAddr, Ipv4Addr};

use crate::ForwardedHeader;

/// The first byte says which header, how many lines and how many hops are trusted; then, parted by an empty line, what the sender
/// wrote and what the proxies wrote behind it. Whoever is named is our own peer or was named by a trusted hop, and whatever a
/// sender writes in front changes nothing.
///
/// # Panics
/// On a finding.
pub fn forwarded(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let header = if first & 1 == 0 {
        ForwardedHeader::XForwardedFor
    } else {
        ForwardedHeader::Forwarded
    };
    let at = rest
        .windows(2)
        .position(|pair| pair == b"\n\n")
        .unwrap_or(rest.len());
    let (sender, proxies) = rest.split_at(at);
    let lines = |bytes: &'_ [u8]| {
        bytes
            .split(|b| *b == b'\n')
            .map(<[u8]>::to_vec)
            .collect::<Vec<_>>()
    };
    let proxies = lines(proxies.get(2..).unwrap_or_default());
    let peer = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    let trusted = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets()[0] == 10,
        IpAddr::V6(_) => false,
    };
    let named = header.client(peer, proxies.iter().map(Vec::as_slice), trusted).0;
    assert_eq!(named, named.to_canonical());
    if trusted(named) {
        // The walk came to the end of what the proxies wrote, or to what names nobody.
        return;
    }
    for whole in in_front(&lines(sender), &proxies) {
        let again = header.client(peer, whole.iter().map(Vec::as_slice), trusted).0;
        assert_eq!(again, named, "a sender chose its own address");
    }
}

/// What a sender wrote before what the proxies wrote: as lines of its own, and at the start of the first line.
fn in_front(sender: &[Vec<u8>], proxies: &[Vec<u8>]) -> [Vec<Vec<u8>>; 2] {
    let apart = [sender, proxies].concat();
    let mut joined = proxies.to_vec();
    if let (Some(line), Some(begin)) = (joined.first_mut(), sender.last()) {
        *line = [begin, &b", "[..], line].concat();
    }
    [apart, joined]
}
