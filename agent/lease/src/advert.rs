//! Router advertisements (RFC 4861, 8106): addresses come by DHCPv6, and none is made by the guest.

use std::net::Ipv6Addr;

use crate::plan::{Card, Network};

const ADVERTISEMENT: u8 = 134;
const HOPS: u8 = 64;
/// Addresses and settings come by DHCPv6.
const MANAGED: u8 = 0xc0;
/// Three times as long as between two of them, and more.
const ROUTER_SECONDS: u16 = 1800;
const PREFIX_SECONDS: u32 = 12 * 3600;
const ON_LINK: u8 = 0x80;

const SOURCE: u8 = 1;
const PREFIX: u8 = 3;
const MTU: u8 = 5;
const DNS: u8 = 25;

/// For one guest; None where it has no IPv6. The checksum is still missing.
pub fn advertisement(network: &Network, card: &Card) -> Option<Vec<u8>> {
    let (ip, prefix) = card.ip6?;
    let lifetime = if card.router6 { ROUTER_SECONDS } else { 0 };
    let mut body = vec![ADVERTISEMENT, 0, 0, 0, HOPS, MANAGED];
    body.extend(lifetime.to_be_bytes());
    body.extend([0; 8]);
    if network.has_router {
        body.extend([SOURCE, 1]);
        body.extend(network.sender);
    }
    body.extend([MTU, 1, 0, 0]);
    body.extend(u32::from(network.mtu).to_be_bytes());
    if prefix < 128 {
        body.extend([PREFIX, 4, prefix, ON_LINK]);
        body.extend([PREFIX_SECONDS; 2].map(u32::to_be_bytes).concat());
        body.extend([0; 4]);
        let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
        body.extend(Ipv6Addr::from(u128::from(ip) & mask).octets());
    }
    let dns = &card.dns6[..card.dns6.len().min(8)];
    if !dns.is_empty() {
        body.extend([DNS, 1 + 2 * dns.len() as u8, 0, 0]);
        body.extend(u32::from(ROUTER_SECONDS).to_be_bytes());
        body.extend(dns.iter().flat_map(Ipv6Addr::octets));
    }
    Some(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{parse, tests::TEXT};

    #[test]
    fn says_what_is_on_record_of_each() {
        let plan = parse(TEXT).unwrap();
        let web = advertisement(&plan.network, &plan.cards[&[2, 0, 0, 0, 0, 5]]).unwrap();
        assert_eq!(web[..8], [134, 0, 0, 0, 64, 0xc0, 7, 8]);
        assert_eq!(web.len(), 16 + 8 + 8 + 32 + 24);
        assert_eq!(
            web[32..36],
            [3, 4, 64, 0x80],
            "on link, and no source of addresses"
        );
        assert_eq!(web[48..50], [0xfd, 0]);
        let alone = advertisement(&plan.network, &plan.cards[&[2, 0, 0, 0, 0, 7]]).unwrap();
        assert_eq!(alone[6..8], [0, 0], "no router");
        assert_eq!(alone.len(), 16 + 8 + 8);
        assert_eq!(
            advertisement(&plan.network, &plan.cards[&[2, 0, 0, 0, 0, 6]]),
            None
        );
    }
}
