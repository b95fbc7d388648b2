//! What one VM may reach of what is not closed to all: everything, nothing, or ranges of addresses and ports. Pure: no
//! syscalls, no environment. Written by kilnd (base/netguard.ts), in a form that has one reading: `all`, `none`, or rules
//! with commas between, each `ADDRESS/PREFIX PORTS PROTOCOL` with PORTS `*` or `FIRST-LAST` and PROTOCOL `*`, `tcp` or
//! `udp`.

use std::net::{IpAddr, SocketAddr};

/// What is longer was not written by kilnd.
const MAX_TEXT: usize = 8192;
/// As many as `--egress` takes.
const MAX_RULES: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Tcp,
    Udp,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Egress {
    All,
    /// Nothing, where there are none.
    Rules(Vec<Rule>),
}

/// A range of addresses; without ports also what has none, such as echo requests.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    network: IpAddr,
    prefix: u8,
    /// First and last.
    ports: Option<(u16, u16)>,
    protocol: Option<Protocol>,
}

impl Egress {
    /// A text that is not understood as a whole, or none at all, opens nothing.
    pub fn parse(text: Option<&str>) -> Egress {
        match text {
            Some("all") => Egress::All,
            Some(text) => Egress::Rules(parse_rules(text).unwrap_or_default()),
            None => Egress::Rules(Vec::new()),
        }
    }

    /// @param protocol asked for only where a rule depends on it; None for what has no ports
    pub fn allows(&self, destination: SocketAddr, protocol: impl Fn() -> Option<Protocol>) -> bool {
        match self {
            Egress::All => true,
            Egress::Rules(rules) => rules.iter().any(|rule| rule.allows(destination, &protocol)),
        }
    }

    /// For kilnd, which compares it with what it has written.
    pub fn summary(&self) -> String {
        match self {
            Egress::All => "all".to_owned(),
            Egress::Rules(rules) => format!("{} rules", rules.len()),
        }
    }
}

impl Rule {
    fn allows(&self, destination: SocketAddr, protocol: &impl Fn() -> Option<Protocol>) -> bool {
        if !contains(self.network, self.prefix, destination.ip().to_canonical()) {
            return false;
        }
        let Some((first, last)) = self.ports else {
            return true;
        };
        if !(first..=last).contains(&destination.port()) {
            return false;
        }
        protocol().is_some_and(|found| self.protocol.is_none_or(|asked| asked == found))
    }
}

fn contains(network: IpAddr, prefix: u8, address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            (u32::from(network) ^ u32::from(address)) & mask32(prefix) == 0
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            (u128::from(network) ^ u128::from(address)) & mask128(prefix) == 0
        }
        _ => false,
    }
}

fn mask32(prefix: u8) -> u32 {
    u32::MAX
        .checked_shl(32 - u32::from(prefix.min(32)))
        .unwrap_or(0)
}

fn mask128(prefix: u8) -> u128 {
    u128::MAX
        .checked_shl(128 - u32::from(prefix.min(128)))
        .unwrap_or(0)
}

fn parse_rules(text: &str) -> Option<Vec<Rule>> {
    if text == "none" {
        return Some(Vec::new());
    }
    if text.len() > MAX_TEXT || text.split(',').count() > MAX_RULES {
        return None;
    }
    text.split(',').map(parse_rule).collect()
}

fn parse_rule(text: &str) -> Option<Rule> {
    let mut words = text.split(' ');
    let (range, ports, protocol) = (words.next()?, words.next()?, words.next()?);
    if words.next().is_some() {
        return None;
    }
    let (network, prefix) = parse_range(range)?;
    let ports = match ports {
        "*" => None,
        span => Some(parse_ports(span)?),
    };
    let protocol = match protocol {
        "*" => None,
        "tcp" => Some(Protocol::Tcp),
        "udp" => Some(Protocol::Udp),
        _ => return None,
    };
    // A protocol is one of ports: alone it would say less than it seems to.
    if ports.is_none() && protocol.is_some() {
        return None;
    }
    Some(Rule {
        network,
        prefix,
        ports,
        protocol,
    })
}

fn parse_range(text: &str) -> Option<(IpAddr, u8)> {
    let (address, prefix) = text.split_once('/')?;
    let network: IpAddr = address.parse().ok()?;
    let prefix = u8::try_from(parse_number(prefix)?).ok()?;
    let most = if network.is_ipv4() { 32 } else { 128 };
    // ::ffff:10.0.0.0/104 is nobody's destination: those are compared as IPv4.
    if prefix > most || network.to_canonical() != network {
        return None;
    }
    contains_only_network(network, prefix).then_some((network, prefix))
}

/// Bits beyond the prefix: either is a mistake.
fn contains_only_network(network: IpAddr, prefix: u8) -> bool {
    match network {
        IpAddr::V4(v4) => u32::from(v4) & !mask32(prefix) == 0,
        IpAddr::V6(v6) => u128::from(v6) & !mask128(prefix) == 0,
    }
}

fn parse_ports(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-')?;
    let (first, last) = (parse_number(first)?, parse_number(last)?);
    (first >= 1 && first <= last).then_some((first, last))
}

/// Digits alone: `u16::from_str` would take a sign.
fn parse_number(text: &str) -> Option<u16> {
    let is_plain =
        !text.is_empty() && text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
