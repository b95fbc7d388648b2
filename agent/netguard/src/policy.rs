//! Which destinations a VM's user network may reach: everything but the host's loopback and the link-local addresses
//! where clouds serve a machine its secrets, and of those only the resolvers the host itself was told to use; and of the
//! rest what the VM's own policy opens. Pure: no syscalls, no environment.

use crate::egress::{Egress, Protocol};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

#[derive(Debug, PartialEq, Eq)]
pub struct Policy {
    /// Reachable whatever is closed.
    allowed: Vec<SocketAddr>,
    egress: Egress,
}

impl Policy {
    /// @param allowed `"127.0.0.53:53,[::1]:53"`. An entry that does not parse allows nothing: a typo must close, not open.
    pub fn parse(allowed: &str, egress: Option<&str>) -> Policy {
        Policy {
            allowed: allowed
                .split(',')
                .filter_map(|entry| entry.trim().parse().ok())
                .collect(),
            egress: Egress::parse(egress),
        }
    }

    /// True where a packet or connection to `destination` must not leave the process.
    pub fn refuses(
        &self,
        destination: SocketAddr,
        protocol: impl Fn() -> Option<Protocol>,
    ) -> bool {
        if self
            .allowed
            .iter()
            .any(|allowed| same(*allowed, destination))
        {
            return false;
        }
        is_closed(destination.ip()) || !self.egress.allows(destination, protocol)
    }

    pub fn egress(&self) -> &Egress {
        &self.egress
    }
}

/// Addresses that the kernel delivers to this host's loopback interface, and those that only have a meaning for the
/// machine itself on its own link.
fn is_closed(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4_is_closed(v4),
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unicast_link_local()
                || METADATA_V6.contains(&v6)
                || embedded_v4(v6).is_some_and(v4_is_closed)
        }
    }
}

/// 127/8; 0/8: connect(2) to 0.0.0.0 means "this host"; 169.254/16.
fn v4_is_closed(address: Ipv4Addr) -> bool {
    matches!(address.octets(), [0 | 127, ..] | [169, 254, ..]) || METADATA_V4.contains(&address)
}

/// Metadata services that are not link-local: Alibaba's, Azure's, which is its resolver too, and Oracle's. As src/net/closed.ts.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];

/// Amazon's, of machines and of pods, Google's, and Oracle's.
const METADATA_V6: [Ipv6Addr; 4] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
];

/// The IPv4 address inside ::ffff:a.b.c.d (mapped), ::a.b.c.d (the old compatible form), 64:ff9b::a.b.c.d (NAT64), and 2002:ab:cd:: (6to4).
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => v4(high, low),
        _ => address.to_ipv4(),
    }
}

/// Compares address and port only: scope and flow are the sender's business.
fn same(allowed: SocketAddr, destination: SocketAddr) -> bool {
    allowed.port() == destination.port()
        && allowed.ip().to_canonical() == destination.ip().to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(allowed: &str) -> Policy {
        Policy::parse(allowed, Some("all"))
    }

    fn refused(policy: &Policy, destination: &str) -> bool {
        policy.refuses(destination.parse().expect("a socket address"), || {
            Some(Protocol::Udp)
        })
    }

    #[test]
    fn a_policy_opens_nothing_that_is_closed_to_all() {
        let policy = Policy::parse("127.0.0.53:53", Some("0.0.0.0/0 * *,::/0 * *"));
        for destination in ["127.0.0.1:80", "169.254.169.254:80", "[::1]:80"] {
            assert!(refused(&policy, destination), "{destination}");
        }
        assert!(!refused(&policy, "192.0.2.1:80"));
        assert!(!refused(&policy, "127.0.0.53:53"));
    }

    #[test]
    fn a_resolver_is_reachable_beside_a_policy_that_does_not_name_it() {
        let policy = Policy::parse("192.0.2.53:53", Some("none"));
        assert!(!refused(&policy, "192.0.2.53:53"));
        assert!(refused(&policy, "192.0.2.53:54"));
        assert!(refused(&Policy::parse("", Some("none")), "192.0.2.53:53"));
    }

    #[test]
    fn refuses_every_spelling_of_loopback() {
        let policy = open("");
        for destination in [
            "127.0.0.1:80",
            "127.255.255.254:1",
            "0.0.0.0:80",
            "0.1.2.3:80",
            "[::1]:80",
            "[::]:80",
            "[::ffff:127.0.0.1]:80",
            "[::ffff:0.0.0.0]:80",
            "[::127.0.0.1]:80",
        ] {
            assert!(
                refused(&policy, destination),
                "{destination} must be refused"
            );
        }
    }

    #[test]
    fn refuses_link_local_and_metadata() {
        let policy = open("");
        for destination in [
            "169.254.169.254:80",
            "169.254.0.1:53",
            "[::ffff:169.254.169.254]:80",
            "[fe80::1]:80",
            "[fd00:ec2::254]:80",
            "[fd00:ec2::23]:80",
            "[fd20:ce::254]:80",
            "[64:ff9b::a9fe:a9fe]:80",
            "[64:ff9b::7f00:1]:80",
            "[2002:7f00:1::]:80",
            "[2002:a9fe:a9fe::1]:80",
            "100.100.100.200:80",
            "168.63.129.16:32526",
        ] {
            assert!(
                refused(&policy, destination),
                "{destination} must be refused"
            );
        }
        let resolver = open("169.254.169.253:53");
        assert!(!refused(&resolver, "169.254.169.253:53"));
        assert!(refused(&resolver, "169.254.169.253:80"));
    }

    #[test]
    fn lets_everything_else_through() {
        let policy = open("");
        for destination in [
            "10.0.0.1:80",
            "192.168.1.1:53",
            "126.255.255.255:80",
            "128.0.0.1:80",
            "255.255.255.255:67",
            "169.253.255.255:80",
            "169.255.0.1:80",
            "[2001:db8::1]:443",
            "[::ffff:10.0.0.1]:80",
            "[64:ff9b::a00:1]:80",
            "[2002:a00:1::1]:80",
        ] {
            assert!(!refused(&policy, destination), "{destination} must pass");
        }
    }

    #[test]
    fn allows_exactly_the_named_resolvers() {
        let policy = open("127.0.0.53:53, [::1]:53");
        assert!(!refused(&policy, "127.0.0.53:53"));
        assert!(!refused(&policy, "[::ffff:127.0.0.53]:53"));
        assert!(!refused(&policy, "[::1]:53"));
        assert!(refused(&policy, "127.0.0.53:54"));
        assert!(refused(&policy, "127.0.0.1:53"));
    }

    #[test]
    fn an_entry_that_does_not_parse_allows_nothing() {
        for list in [
            "",
            "127.0.0.1",
            "*",
            "127.0.0.1:",
            "localhost:53",
            "127.0.0.1:99999",
        ] {
            assert_eq!(open(list), open(""), "{list:?}");
        }
    }
}
