//! What each guest is told, as kilnd writes it: one line `network KEY=VALUE...`, then one `card KEY=VALUE...` for each.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

pub type Mac = [u8; 6];

#[derive(Debug, PartialEq, Eq)]
pub struct Network {
    /// Of our own frames.
    pub sender: Mac,
    /// Who we are to DHCPv4's clients.
    pub server4: Ipv4Addr,
    /// Where our IPv6 comes from: a guest that is given a router takes this for its address.
    pub link6: Ipv6Addr,
    /// The router is at `sender`; otherwise it answers itself where it is.
    pub has_router: bool,
    pub mtu: u16,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Card {
    pub ip4: Option<(Ipv4Addr, u8)>,
    pub router4: Option<Ipv4Addr>,
    pub dns4: Vec<Ipv4Addr>,
    /// A prefix of 128: it reaches its network by the router alone.
    pub ip6: Option<(Ipv6Addr, u8)>,
    /// Whether its way out is by `link6`.
    pub router6: bool,
    pub dns6: Vec<Ipv6Addr>,
    pub search: Vec<String>,
    pub hostname: String,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    pub network: Network,
    pub cards: HashMap<Mac, Card>,
}

/// More is no plan of kilnd's.
const LONGEST: usize = 4 << 20;

pub fn parse(text: &str) -> Option<Plan> {
    if text.len() > LONGEST {
        return None;
    }
    let mut lines = text.lines();
    let network = network(lines.next()?.strip_prefix("network ")?)?;
    let mut cards = HashMap::new();
    for line in lines {
        let (mac, card) = card(line.strip_prefix("card ")?)?;
        cards.entry(mac).or_insert(card);
    }
    Some(Plan { network, cards })
}

fn network(line: &str) -> Option<Network> {
    let mut network = Network {
        sender: [0; 6],
        server4: Ipv4Addr::UNSPECIFIED,
        link6: Ipv6Addr::UNSPECIFIED,
        has_router: false,
        mtu: 0,
    };
    for word in line.split_whitespace() {
        match word.split_once('=')? {
            ("sender", value) => network.sender = mac(value)?,
            ("server4", value) => network.server4 = value.parse().ok()?,
            ("link6", value) => network.link6 = value.parse().ok()?,
            ("has-router", value) => network.has_router = value == "yes",
            ("mtu", value) => network.mtu = value.parse().ok()?,
            _ => return None,
        }
    }
    let is_whole = network.sender != [0; 6] && network.mtu != 0 && !network.server4.is_unspecified();
    (is_whole && network.link6.is_unicast_link_local()).then_some(network)
}

fn card(line: &str) -> Option<(Mac, Card)> {
    let mut at = None;
    let mut card = Card::default();
    for word in line.split_whitespace() {
        match word.split_once('=')? {
            ("mac", value) => at = Some(mac(value)?),
            ("ip4", value) => card.ip4 = Some(range(value, 32)?),
            ("router4", value) => card.router4 = Some(value.parse().ok()?),
            ("dns4", value) => card.dns4 = list(value)?,
            ("ip6", value) => card.ip6 = Some(range(value, 128)?),
            ("router6", value) => card.router6 = value == "yes",
            ("dns6", value) => card.dns6 = list(value)?,
            ("search", value) => card.search = list(value)?,
            ("hostname", value) => card.hostname = value.to_owned(),
            _ => return None,
        }
    }
    Some((at?, card))
}

fn range<A: FromStr>(text: &str, most: u8) -> Option<(A, u8)> {
    let (address, prefix) = text.split_once('/')?;
    let prefix = prefix.parse().ok().filter(|prefix| *prefix <= most)?;
    Some((address.parse().ok()?, prefix))
}

fn list<T: FromStr>(text: &str) -> Option<Vec<T>> {
    text.split(',').map(|one| one.parse().ok()).collect()
}

fn mac(text: &str) -> Option<Mac> {
    let bytes: Vec<u8> = text
        .split(':')
        .map(|byte| {
            u8::from_str_radix(byte, 16)
                .ok()
                .filter(|_| byte.len() == 2 && !byte.starts_with('+'))
        })
        .collect::<Option<_>>()?;
    bytes.try_into().ok()
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub const TEXT: &str = "network sender=06:00:00:00:00:01 server4=10.89.1.1 link6=fe80::1 has-router=yes mtu=1400
card mac=02:00:00:00:00:05 ip4=10.89.1.5/24 router4=10.89.1.1 dns4=10.89.1.1,9.9.9.9 ip6=fd00::5/64 router6=yes dns6=fd00::1 search=blue,b.test hostname=web
card mac=02:00:00:00:00:06 ip4=10.30.3.7/32 router4=10.30.3.1
card mac=02:00:00:00:00:07 ip6=fd00::7/128
";

    #[test]
    fn reads_what_kilnd_writes() {
        let Plan { network, cards } = parse(TEXT).unwrap();
        assert_eq!(network.sender, [6, 0, 0, 0, 0, 1]);
        assert_eq!((network.mtu, network.has_router), (1400, true));
        assert_eq!(cards.len(), 3);
        let web = &cards[&[2, 0, 0, 0, 0, 5]];
        assert_eq!(web.ip4, Some((Ipv4Addr::new(10, 89, 1, 5), 24)));
        assert_eq!((web.search.len(), web.dns4.len(), web.router6), (2, 2, true));
        assert_eq!(cards[&[2, 0, 0, 0, 0, 7]].ip4, None);
    }

    #[test]
    fn refuses_what_is_not_whole() {
        let (first, rest) = TEXT.split_once('\n').unwrap();
        for text in [
            "",
            rest,
            "network sender=06:00:00:00:00:01\n",
            &first.replace("fe80::1", "fd00::1"),
            &format!("{first}\ncard ip4=10.0.0.1/24\n"),
            &format!("{first}\ncard mac=02:00:00:00:00 ip4=10.0.0.1/24\n"),
            &format!("{first}\ncard mac=02:00:00:00:00:+5\n"),
            &format!("{first}\ncard mac=02:00:00:00:00:05 ip4=10.0.0.1/33\n"),
            &format!("{first}\ncard mac=02:00:00:00:00:05 colour=red\n"),
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
