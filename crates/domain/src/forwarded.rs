//! Who sent a request that proxies passed on.
//!
//! Each proxy adds the address that it saw to the right of what it was given. So the list is walked from the right, and only
//! as long as the hop that wrote an entry is one that is trusted: whatever a sender puts into the header itself stands left
//! of the first untrusted hop and is never looked at. That is why elements are cut off from the right as well: a quote that
//! a sender leaves open must not swallow what a proxy wrote behind it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Deserialize;

/// Who sent a request: the address of its connection, or the one that the trusted proxies before us name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// The header that the trusted proxies write. Only this one is read: a proxy passes on what it does not write itself, so
/// that the other one is the sender's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`: addresses, separated by commas.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl ForwardedHeader {
    /// Its name, in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
        }
    }

    /// Finds out who sent a request. `lines` are the values of this header, in their order.
    ///
    /// The walk ends at the first address that is not trusted. It also ends before an entry that names no address (an
    /// obfuscated one, `unknown`, garbage) and at the end of the list: then the last trusted hop is all that is known.
    #[must_use]
    pub fn client<'h>(
        self,
        peer: IpAddr,
        lines: impl DoubleEndedIterator<Item = &'h [u8]>,
        is_trusted: impl Fn(IpAddr) -> bool,
    ) -> ClientAddress {
        let mut client = peer.to_canonical();
        let mut entries = lines.rev().flat_map(|line| FromTheRight {
            rest: Some(line),
            quotes: self == Self::Forwarded,
        });
        while is_trusted(client)
            && let Some(next) = entries.next().and_then(|entry| self.address_in(entry))
        {
            client = next.to_canonical();
        }
        ClientAddress(client)
    }

    fn address_in(self, entry: &[u8]) -> Option<IpAddr> {
        let entry = std::str::from_utf8(entry).ok()?;
        match self {
            Self::XForwardedFor => entry.parse().ok().or_else(|| node(entry)),
            Self::Forwarded => node(&forwarded_for(entry)?),
        }
    }
}

/// The elements of a list from its end on, empty ones left out (RFC 9110 §5.6.1.2).
struct FromTheRight<'h> {
    rest: Option<&'h [u8]>,
    quotes: bool,
}

impl<'h> Iterator for FromTheRight<'h> {
    type Item = &'h [u8];

    fn next(&mut self) -> Option<&'h [u8]> {
        loop {
            let rest = self.rest?;
            let (left, element) = match last_comma(rest, self.quotes).and_then(|at| rest.split_at_checked(at))
            {
                Some((left, right)) => (Some(left), right.get(1..).unwrap_or_default()),
                None => (None, rest),
            };
            self.rest = left;
            let element = element.trim_ascii();
            if !element.is_empty() {
                return Some(element);
            }
        }
    }
}

/// Where the last comma outside of quotes is.
fn last_comma(text: &[u8], quotes: bool) -> Option<usize> {
    let mut inside = false;
    for (at, byte) in text.iter().enumerate().rev() {
        match byte {
            b'"' if quotes && !is_escaped(text, at) => inside = !inside,
            b',' if !inside => return Some(at),
            _ => {}
        }
    }
    None
}

fn is_escaped(text: &[u8], at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default();
    before.iter().rev().take_while(|b| **b == b'\\').count() % 2 == 1
}

/// The one parameter `for` of a `forwarded-element`; none when anything about it is not as RFC 7239 §4 says.
fn forwarded_for(element: &str) -> Option<String> {
    let mut found = None;
    let mut rest = element;
    loop {
        let (name, value) = rest.split_once('=')?;
        let name = name.trim_ascii();
        if name.is_empty() || !name.bytes().all(is_token_byte) {
            return None;
        }
        let (value, after) = value_of(value.trim_ascii_start())?;
        if name.eq_ignore_ascii_case("for") && found.replace(value).is_some() {
            return None;
        }
        let after = after.trim_ascii();
        if after.is_empty() {
            return found;
        }
        rest = after.strip_prefix(';')?;
        if rest.trim_ascii().is_empty() {
            return found;
        }
    }
}

/// A token or a quoted string, and what follows it.
fn value_of(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        // Not strictly a token: addresses with a port stand here without quotes too.
        let end = text.find([';', ' ', '\t', '"', '\\']).unwrap_or(text.len());
        let (value, rest) = text.split_at_checked(end)?;
        return (!value.is_empty()).then(|| (value.to_owned(), rest));
    };
    let (mut value, mut characters) = (String::new(), quoted.char_indices());
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, quoted.get(at + 1..)?)),
            '\\' => value.push(characters.next()?.1),
            _ => value.push(character),
        }
    }
    None
}

const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'_' | b'.' | b'!' | b'#' | b'$' | b'&' | b'*' | b'+')
}

/// The address of a node (RFC 7239 §6): `192.0.2.1`, `192.0.2.1:80`, `[2001:db8::1]`, `[2001:db8::1]:80`; none for
/// `unknown`, for `_hidden` and for anything else.
fn node(text: &str) -> Option<IpAddr> {
    let (address, port) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (address, port) = bracketed.split_once(']')?;
            (IpAddr::V6(address.parse::<Ipv6Addr>().ok()?), port)
        }
        None => {
            let (address, port) = text.split_at_checked(text.find(':').unwrap_or(text.len()))?;
            (IpAddr::V4(address.parse::<Ipv4Addr>().ok()?), port)
        }
    };
    (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)).then_some(address)
}

/// A port, or an obfuscated one.
fn is_port(text: &str) -> bool {
    let hidden = text
        .strip_prefix('_')
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(is_token_byte));
    let plain = (1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    hidden || plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Trusts 10.0.0.0/8 and fd00::/8.
    fn trusted(address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => v4.octets()[0] == 10,
            IpAddr::V6(v6) => v6.octets()[0] == 0xfd,
        }
    }

    fn client(header: ForwardedHeader, peer: &str, lines: &[&[u8]]) -> String {
        let found = header.client(peer.parse().unwrap(), lines.iter().copied(), trusted);
        found.0.to_string()
    }

    #[track_caller]
    fn check(header: ForwardedHeader, line: &str, expected: &str) {
        assert_eq!(client(header, "10.0.0.1", &[line.as_bytes()]), expected, "{line}");
    }

    #[test]
    fn addresses_are_walked_from_the_right_over_trusted_hops_alone() {
        let check = |line: &str, expected: &str| check(ForwardedHeader::XForwardedFor, line, expected);
        check("198.51.100.7", "198.51.100.7");
        check("203.0.113.9, 198.51.100.7", "198.51.100.7");
        check("203.0.113.9, 198.51.100.7, 10.0.0.2,10.9.9.9", "198.51.100.7");
        check("198.51.100.7:4711", "198.51.100.7");
        check("2001:db8::1", "2001:db8::1");
        check("[2001:db8::1]", "2001:db8::1");
        check("[2001:db8::1]:4711, fd00::2", "2001:db8::1");
        check("::ffff:198.51.100.7", "198.51.100.7");
        check("198.51.100.7, ::ffff:10.0.0.2", "198.51.100.7");
        check(" , 198.51.100.7 , ,", "198.51.100.7");
        check("10.0.0.3, 10.0.0.2", "10.0.0.3");
        check("", "10.0.0.1");
    }

    #[test]
    fn garbage_ends_the_walk_at_the_last_trusted_hop() {
        for garbage in [
            "unknown",
            "_hidden",
            "198.51.100",
            "198.51.100.7:",
            "198.51.100.7:999999",
            "198.51.100.7:a",
            "a b",
            "[2001:db8::1",
            "[198.51.100.7]",
            "fe80::1%eth0",
            "198.51.100.007",
            "0x7f.1",
            "\"198.51.100.7\"",
        ] {
            let line = format!("203.0.113.9, {garbage}, 10.0.0.2");
            check(ForwardedHeader::XForwardedFor, &line, "10.0.0.2");
        }
        let lines: [&[u8]; 2] = [b"203.0.113.9", b"caf\xe9, 10.0.0.2"];
        assert_eq!(
            client(ForwardedHeader::XForwardedFor, "10.0.0.1", &lines),
            "10.0.0.2"
        );
    }

    #[test]
    fn an_untrusted_peer_is_the_sender_whatever_it_says() {
        for peer in ["198.51.100.1", "2001:db8::1", "127.0.0.1", "::ffff:198.51.100.1"] {
            let own = peer.parse::<IpAddr>().unwrap().to_canonical().to_string();
            assert_eq!(
                client(ForwardedHeader::XForwardedFor, peer, &[b"203.0.113.9"]),
                own
            );
            assert_eq!(
                client(ForwardedHeader::Forwarded, peer, &[b"for=203.0.113.9"]),
                own
            );
        }
    }

    #[test]
    fn several_lines_are_one_list() {
        let lines: [&[u8]; 3] = [b"203.0.113.9", b"198.51.100.7, 10.0.0.3", b"10.0.0.2"];
        assert_eq!(
            client(ForwardedHeader::XForwardedFor, "10.0.0.1", &lines),
            "198.51.100.7"
        );
    }

    #[test]
    fn forwarded_elements_are_read_as_the_standard_says() {
        let check = |line: &str, expected: &str| check(ForwardedHeader::Forwarded, line, expected);
        check("for=198.51.100.7", "198.51.100.7");
        check(
            "For=\"198.51.100.7:4711\";proto=https;by=203.0.113.43",
            "198.51.100.7",
        );
        check(
            "for=203.0.113.9, for=\"[2001:db8:cafe::17]:4711\"",
            "2001:db8:cafe::17",
        );
        check(
            "by=\"a,b;for=203.0.113.9\" ; for=198.51.100.7, for=10.0.0.2;host=\"x\\\",y\"",
            "198.51.100.7",
        );
        check("for=\"198.51.100.7:_port\";", "198.51.100.7");
        check("for=198.51.100.7:80", "198.51.100.7");
        check("for=\"\\198.51.100.7\"", "198.51.100.7");
        for garbage in [
            "for=unknown",
            "for=_hidden",
            "for=\"_hidden:80\"",
            "proto=https",
            "for=",
            "for",
            "=198.51.100.7",
            "for=2001:db8::1",
            "for=\"2001:db8::1\"",
            "for=198.51.100.7;for=198.51.100.8",
            "for=\"198.51.100.7",
            "for=\"198.51.100.7\"x",
            "198.51.100.7",
            "f or=198.51.100.7",
            "for=198.51.100.7 x=y",
        ] {
            check(&format!("for=203.0.113.9, {garbage}, for=10.0.0.2"), "10.0.0.2");
        }
    }

    #[test]
    fn a_quote_that_a_sender_leaves_open_swallows_nothing() {
        let check = |line: &str, expected: &str| check(ForwardedHeader::Forwarded, line, expected);
        check("for=\", for=198.51.100.7", "198.51.100.7");
        check("for=\"\\, for=198.51.100.7", "198.51.100.7");
        check(
            "host=\"x, for=\"198.51.100.7:1\";proto=https, for=10.0.0.2",
            "198.51.100.7",
        );
    }

    /// What trusted proxies write: the client's address, then the addresses of hops that are trusted.
    fn written(header: ForwardedHeader) -> impl Strategy<Value = (String, IpAddr)> {
        let client = prop_oneof![
            any::<[u8; 4]>().prop_map(IpAddr::from),
            any::<[u8; 16]>().prop_map(IpAddr::from),
        ];
        let client = client
            .prop_map(|c| c.to_canonical())
            .prop_filter("a client", |c| !trusted(*c));
        let hops = prop::collection::vec(any::<[u8; 3]>(), 0..4);
        (client, hops, any::<bool>()).prop_map(move |(client, hops, port)| {
            let hops = hops.into_iter().map(|[a, b, c]| IpAddr::from([10, a, b, c]));
            let entry = |address: IpAddr| {
                let text = match address {
                    IpAddr::V6(v6) if port => format!("[{v6}]:443"),
                    IpAddr::V6(v6) => format!("[{v6}]"),
                    IpAddr::V4(v4) => v4.to_string(),
                };
                match header {
                    ForwardedHeader::XForwardedFor => text,
                    ForwardedHeader::Forwarded => format!("for=\"{text}\";host=\"a,b\\\"\""),
                }
            };
            let all: Vec<String> = std::iter::once(client).chain(hops).map(entry).collect();
            (all.join(", "), client)
        })
    }

    /// Anything that a header may carry, with what matters more often than chance would have it.
    fn forged() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"\"".to_vec()),
            Just(b"\\".to_vec()),
            Just(b",".to_vec()),
            Just(b"for=".to_vec()),
            Just(b"10.0.0.9".to_vec()),
            Just(b"203.0.113.9".to_vec()),
            Just(b";".to_vec()),
            Just(b"[".to_vec()),
            prop::collection::vec((32_u8..=255).prop_filter("no DEL", |b| *b != 127), 1..4),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn what_a_sender_puts_left_of_it_never_changes_the_result(
            (header, (right, client)) in prop_oneof![Just(ForwardedHeader::XForwardedFor), Just(ForwardedHeader::Forwarded)]
                .prop_flat_map(|header| (Just(header), written(header))),
            left in forged(),
            own_line in any::<bool>(),
        ) {
            let joined = [&left, &b", "[..], right.as_bytes()].concat();
            let lines: Vec<&[u8]> = if own_line { vec![&left, right.as_bytes()] } else { vec![&joined] };
            let found = header.client("10.0.0.1".parse().unwrap(), lines.into_iter(), trusted);
            prop_assert_eq!(found, ClientAddress(client));
        }

        #[test]
        fn nothing_that_an_untrusted_peer_sends_is_believed(lines in prop::collection::vec(forged(), 0..3)) {
            let peer: IpAddr = "198.51.100.1".parse().unwrap();
            for header in [ForwardedHeader::XForwardedFor, ForwardedHeader::Forwarded] {
                let found = header.client(peer, lines.iter().map(Vec::as_slice), trusted);
                prop_assert_eq!(found, ClientAddress(peer));
            }
        }
    }
}
