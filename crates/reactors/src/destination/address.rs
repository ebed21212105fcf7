//! Which addresses a destination may be in. A webhook platform that posts wherever it is told is a way into the network it
//! stands in, so everything that is not plainly on the public internet is refused unless a setting allows it.
//!
//! Never here: names. They are resolved in `resolve`, and each address they give passes through here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// An address that a destination may not be in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{address} is {class}; it is refused unless addresses_allowed, of the destination or of all, has it")]
pub(crate) struct AddressRefused {
    /// The address.
    pub(crate) address: IpAddr,
    /// What kind of address it is.
    pub(crate) class: &'static str,
}

/// The special networks that are allowed all the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct AddressPolicy {
    allowed: Vec<IpNet>,
}

impl AddressPolicy {
    pub(crate) fn new(allowed: impl IntoIterator<Item = IpNet>) -> Self {
        Self {
            allowed: allowed.into_iter().collect(),
        }
    }

    /// Whether a connection may be made to an address.
    pub(crate) fn check(&self, address: IpAddr) -> Result<(), AddressRefused> {
        let Some(class) = special(address) else {
            return Ok(());
        };
        let named = |address: IpAddr| self.allowed.iter().any(|net| net.contains(&address));
        if named(address) || embedded(address).is_some_and(|v4| named(IpAddr::V4(v4))) {
            return Ok(());
        }
        Err(AddressRefused { address, class })
    }
}

/// What kind of special address it is (IANA's special-purpose registries, RFC 6890); none for the public internet.
fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => special_v4(v4),
        IpAddr::V6(v6) => special_v6(v6),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    let class = match address.octets() {
        [0, ..] => "an unspecified address",
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => "a private address",
        [100, 64..=127, ..] => "a shared address of carriers",
        [127, ..] => "a loopback address",
        [169, 254, ..] => "a link-local address, where clouds keep credentials",
        [192, 0, 0, _] => "an address for protocols",
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => "an address for documentation",
        [192, 88, 99, _] => "a 6to4 relay",
        [198, 18..=19, ..] => "an address for benchmarks",
        [224..=239, ..] => "a multicast address",
        [240..=255, ..] => "a reserved or broadcast address",
        _ => return None,
    };
    Some(class)
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    if address.is_unspecified() {
        return Some("an unspecified address");
    }
    if address.is_loopback() {
        return Some("a loopback address");
    }
    if let Some(v4) = embedded(IpAddr::V6(address)) {
        return special_v4(v4).or_else(|| tunnelled(address));
    }
    let class = match address.segments() {
        [0xfc00..=0xfdff, ..] => "a private address",
        [0xfe80..=0xfebf, ..] => "a link-local address",
        [0xfec0..=0xfeff, ..] => "a site-local address",
        [0xff00..=0xffff, ..] => "a multicast address",
        [0x0064, 0xff9b, 1, ..] => "an address of a private translator",
        [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => "an address for documentation",
        [0x2001, 0..=0x01ff, ..] => "an address for protocols",
        // ISATAP (RFC 5214): whatever network it is in, it ends at an IPv4 address inside a site.
        [_, _, _, _, 0 | 0x0200, 0x5efe, ..] => "an address of a tunnel into a site",
        [0x2000..=0x3fff, ..] => return None,
        _ => "a reserved address",
    };
    Some(class)
}

/// Forms in which even a public IPv4 address is not reached over plain IPv6, but through something in between that could
/// as well be ours.
fn tunnelled(address: Ipv6Addr) -> Option<&'static str> {
    match address.segments() {
        // Compatible ones, deprecated since RFC 4291, and translated ones (RFC 2765): nothing on the internet is reached by
        // them.
        [0, 0, 0, 0, 0, 0, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => Some("a reserved address"),
        _ => None,
    }
}

/// The IPv4 address that an IPv6 one stands for: mapped, compatible, translated, NAT64 (RFC 6052) and 6to4 (RFC 3056).
/// Where it is only a part of an address, as in ISATAP, the network around it counts too, so that is none of them.
fn embedded(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = address else {
        return None;
    };
    let joined = |high: u16, low: u16| Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match v6.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => joined(high, low),
        [0x0064, 0xff9b, 0, 0, 0, 0, high, low] => joined(high, low),
        [0x2002, high, low, ..] => joined(high, low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(address: &str, allowed: &[&str]) -> Option<&'static str> {
        let policy = AddressPolicy::new(allowed.iter().map(|net| net.parse().unwrap()));
        policy
            .check(address.parse().unwrap())
            .err()
            .map(|refused| refused.class)
    }

    #[test]
    fn what_is_not_on_the_public_internet_is_refused() {
        for (address, class) in [
            ("0.0.0.0", "unspecified"),
            ("0.1.2.3", "unspecified"),
            ("10.0.0.1", "private"),
            ("172.16.0.1", "private"),
            ("172.31.255.255", "private"),
            ("192.168.1.1", "private"),
            ("100.64.0.1", "carriers"),
            ("100.127.255.255", "carriers"),
            ("127.0.0.1", "loopback"),
            ("127.255.255.254", "loopback"),
            ("169.254.169.254", "link-local"),
            ("192.0.0.8", "protocols"),
            ("192.0.2.1", "documentation"),
            ("198.51.100.1", "documentation"),
            ("203.0.113.1", "documentation"),
            ("192.88.99.1", "6to4"),
            ("198.18.0.1", "benchmarks"),
            ("198.19.255.255", "benchmarks"),
            ("224.0.0.1", "multicast"),
            ("239.255.255.255", "multicast"),
            ("240.0.0.1", "reserved"),
            ("255.255.255.255", "broadcast"),
            ("::", "unspecified"),
            ("::1", "loopback"),
            ("::ffff:127.0.0.1", "loopback"),
            ("::ffff:10.1.2.3", "private"),
            ("::ffff:169.254.169.254", "link-local"),
            ("::127.0.0.1", "loopback"),
            ("::8.8.8.8", "reserved"),
            ("::ffff:0:127.0.0.1", "loopback"),
            ("64:ff9b::7f00:1", "loopback"),
            ("64:ff9b::a9fe:a9fe", "link-local"),
            ("64:ff9b:1::1", "translator"),
            ("2002:7f00:1::", "loopback"),
            ("2002:a00:1::1", "private"),
            ("2606:4700::5efe:10.0.0.1", "tunnel"),
            ("2606:4700::200:5efe:127.0.0.1", "tunnel"),
            ("fd00::5efe:8.8.8.8", "private"),
            ("fe80::5efe:8.8.8.8", "link-local"),
            ("fe80::200:5efe:8.8.8.8", "link-local"),
            ("ff02::5efe:8.8.8.8", "multicast"),
            ("::5efe:8.8.8.8", "tunnel"),
            ("64:ff9b:1::5efe:8.8.8.8", "translator"),
            ("2001:db8::5efe:8.8.8.8", "documentation"),
            ("2001::5efe:8.8.8.8", "protocols"),
            ("::ffff:0:8.8.8.8", "reserved"),
            ("2001::1", "protocols"),
            ("2001:db8::1", "documentation"),
            ("3fff::1", "documentation"),
            ("fc00::1", "private"),
            ("fd12:3456::1", "private"),
            ("fe80::1", "link-local"),
            ("febf::1", "link-local"),
            ("fec0::1", "site-local"),
            ("ff02::1", "multicast"),
            ("100::1", "reserved"),
            ("5f00::1", "reserved"),
        ] {
            let found = refused(address, &[]);
            assert!(found.is_some_and(|f| f.contains(class)), "{address}: {found:?}");
        }
    }

    #[test]
    fn the_public_internet_is_not_refused() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.1",
            "169.253.0.1",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.1",
            "198.17.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
            "2002:808:808::1",
            "64:ff9b::808:808",
            "::ffff:8.8.8.8",
        ] {
            assert_eq!(refused(address, &[]), None, "{address}");
        }
    }

    #[test]
    fn a_special_network_is_allowed_by_naming_it_and_nothing_else_is() {
        let loopback = ["127.0.0.0/8"];
        for address in ["127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"] {
            assert_eq!(refused(address, &loopback), None, "{address}");
        }
        for address in ["::1", "10.0.0.1", "::ffff:10.0.0.1"] {
            assert!(refused(address, &loopback).is_some(), "{address}");
        }
        for address in ["fd00::5efe:10.0.0.1", "2606:4700::5efe:10.0.0.1"] {
            assert!(refused(address, &["10.0.0.0/8"]).is_some(), "{address}");
        }
        assert_eq!(refused("::1", &["::1/128"]), None);
        assert_eq!(refused("10.2.3.4", &["10.2.0.0/16"]), None);
        assert!(refused("10.3.0.1", &["10.2.0.0/16"]).is_some());
    }
}
