//! The proxies that are believed: who sent a request that one of them passed on.
//!
//! Never here: a decision about who is let in. The keyless rule looks at the connection and refuses whatever was forwarded.

use std::net::IpAddr;

use domain::{ClientAddress, ForwardedHeader};
use ingest::canonical_network;
use ipnet::IpNet;
use poem::http::HeaderMap;

/// The networks of our proxies, and the header that they write. The default believes nobody.
#[derive(Debug, Clone, Default)]
pub(crate) struct Proxies {
    networks: Vec<IpNet>,
    header: ForwardedHeader,
}

impl Proxies {
    /// Believes proxies in these networks.
    pub(crate) fn new(networks: &[IpNet], header: ForwardedHeader) -> Self {
        Self {
            networks: networks.iter().copied().map(canonical_network).collect(),
            header,
        }
    }

    /// Whether an address is one of theirs.
    pub(crate) fn trust(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// Who sent a request that came over a connection from `peer`.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> ClientAddress {
        let lines = headers.get_all(self.header.name()).iter();
        self.header
            .client(peer, lines.map(|value| value.as_bytes()), |address| {
                self.trust(address)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(networks: &[&str], header: ForwardedHeader, peer: &str) -> String {
        let networks: Vec<IpNet> = networks.iter().map(|n| n.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-for", "198.51.100.7, 10.0.0.2"),
            ("forwarded", "for=198.51.100.8"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        let proxies = Proxies::new(&networks, header);
        proxies.client(peer.parse().unwrap(), &headers).0.to_string()
    }

    #[test]
    fn only_the_header_that_the_proxies_write_is_read() {
        let ten = ["10.0.0.0/8"];
        assert_eq!(
            client(&ten, ForwardedHeader::XForwardedFor, "10.0.0.1"),
            "198.51.100.7"
        );
        assert_eq!(
            client(&ten, ForwardedHeader::Forwarded, "10.0.0.1"),
            "198.51.100.8"
        );
        assert_eq!(
            client(&[], ForwardedHeader::XForwardedFor, "10.0.0.1"),
            "10.0.0.1"
        );
    }

    #[test]
    fn a_network_of_mapped_addresses_is_that_of_the_ipv4_ones() {
        for networks in [["10.0.0.0/8"], ["::ffff:10.0.0.0/104"]] {
            for peer in ["10.0.0.1", "::ffff:10.0.0.1"] {
                assert_eq!(
                    client(&networks, ForwardedHeader::XForwardedFor, peer),
                    "198.51.100.7",
                    "{peer}"
                );
            }
        }
    }
}
