//! DHCPv4 (RFC 2131, 2132) of guests whose address is on record: it is always the same, so nothing is kept of any lease.

use std::net::Ipv4Addr;

use crate::frame::BROADCAST;
use crate::names::domains;
use crate::plan::{Card, Mac, Plan};

const COOKIE: [u8; 4] = [99, 130, 83, 99];
const HEADER: usize = 240;
const LEASE_SECONDS: u32 = 12 * 3600;
/// What every client takes, with the headers of IP and UDP.
const SMALLEST: usize = 576;
const LARGEST: usize = 1280;
const AROUND: usize = 28;
/// Some take nothing shorter.
const BOOTP: usize = 300;

const MASK: u8 = 1;
const ROUTER: u8 = 3;
const DNS: u8 = 6;
const HOSTNAME: u8 = 12;
const DOMAIN: u8 = 15;
const MTU: u8 = 26;
const BROADCAST_ADDRESS: u8 = 28;
const REQUESTED: u8 = 50;
const LEASE: u8 = 51;
const KIND: u8 = 53;
const SERVER: u8 = 54;
const WANTED: u8 = 55;
const LONGEST: u8 = 57;
const RENEWAL: u8 = 58;
const REBINDING: u8 = 59;
const CLIENT: u8 = 61;
const SEARCH: u8 = 119;
const ROUTES: u8 = 121;
const END: u8 = 255;

const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;
const NAK: u8 = 6;
const INFORM: u8 = 8;

#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    pub to: (Mac, Ipv4Addr),
    pub message: Vec<u8>,
}

struct Asked<'a> {
    message: &'a [u8],
    options: [Option<&'a [u8]>; 256],
}

impl<'a> Asked<'a> {
    fn parse(message: &'a [u8]) -> Option<Self> {
        // A request, of Ethernet, that no relay has passed on.
        let is_asked = message.get(..4)?.starts_with(&[1, 1, 6]) && message.get(24..28)? == [0; 4];
        if !is_asked || message.get(HEADER - 4..HEADER)? != COOKIE {
            return None;
        }
        let mut options = [None; 256];
        let mut rest = &message[HEADER..];
        while let [code, after @ ..] = rest {
            match *code {
                0 => rest = after,
                END => break,
                code => {
                    let (length, after) = after.split_first()?;
                    let value = after.get(..usize::from(*length))?;
                    options[usize::from(code)].get_or_insert(value);
                    rest = &after[value.len()..];
                }
            }
        }
        Some(Self { message, options })
    }

    fn option(&self, code: u8) -> Option<&'a [u8]> {
        self.options[usize::from(code)]
    }

    fn address(&self, code: u8) -> Option<Ipv4Addr> {
        self.option(code)?.try_into().map(<[u8; 4]>::into).ok()
    }

    fn own(&self) -> Ipv4Addr {
        Ipv4Addr::new(
            self.message[12],
            self.message[13],
            self.message[14],
            self.message[15],
        )
    }

    fn mac(&self) -> &[u8] {
        &self.message[28..34]
    }

    fn wants_broadcast(&self) -> bool {
        self.message[10] & 0x80 != 0
    }

    fn room(&self) -> usize {
        let most = match self.option(LONGEST) {
            Some(&[high, low]) => usize::from(u16::from_be_bytes([high, low])),
            _ => SMALLEST,
        };
        most.clamp(SMALLEST, LARGEST) - AROUND
    }
}

/// @param from whose frame it came in
pub fn answer(message: &[u8], from: Mac, plan: &Plan) -> Option<Reply> {
    let asked = Asked::parse(message)?;
    let card = plan.cards.get(&from)?;
    let (ip, _) = card.ip4?;
    // One guest does not speak for another.
    if asked.mac() != from {
        return None;
    }
    let kind = match asked.option(KIND)? {
        [DISCOVER] => OFFER,
        [REQUEST] => verdict(&asked, ip, plan.network.server4)?,
        [INFORM] if asked.own() == ip => ACK,
        // DECLINE and RELEASE: the address stays its own.
        _ => return None,
    };
    let is_inform = asked.option(KIND) == Some(&[INFORM]);
    let to = if kind == NAK {
        (BROADCAST, Ipv4Addr::BROADCAST)
    } else if asked.own() == ip {
        (from, ip)
    } else if asked.wants_broadcast() {
        (BROADCAST, Ipv4Addr::BROADCAST)
    } else {
        (from, ip)
    };
    let mut reply = Writer::new(&asked, kind, plan.network.server4);
    if kind != NAK && !is_inform {
        reply.message[16..20].copy_from_slice(&ip.octets());
        reply.lease();
    }
    if kind != NAK {
        reply.settings(card, plan.network.mtu);
    }
    Some(Reply {
        to,
        message: reply.end(),
    })
}

/// ACK where the client is right about its address. None: it has chosen another server.
fn verdict(asked: &Asked, ip: Ipv4Addr, server: Ipv4Addr) -> Option<u8> {
    if asked.option(SERVER).is_some() && asked.address(SERVER) != Some(server) {
        return None;
    }
    let wished = match asked.option(REQUESTED) {
        Some(_) => asked.address(REQUESTED)?,
        None => asked.own(),
    };
    Some(if wished == ip { ACK } else { NAK })
}

struct Writer<'a> {
    asked: &'a Asked<'a>,
    message: Vec<u8>,
}

impl<'a> Writer<'a> {
    fn new(asked: &'a Asked<'a>, kind: u8, server: Ipv4Addr) -> Self {
        let mut message = vec![0; HEADER];
        message[..3].copy_from_slice(&[2, 1, 6]);
        // Transaction and flags.
        message[4..8].copy_from_slice(&asked.message[4..8]);
        message[10..12].copy_from_slice(&asked.message[10..12]);
        if kind == ACK {
            message[12..16].copy_from_slice(&asked.message[12..16]);
        }
        message[28..34].copy_from_slice(asked.mac());
        message[HEADER - 4..].copy_from_slice(&COOKIE);
        let mut reply = Self { asked, message };
        reply.put(KIND, &[kind]);
        reply.put(SERVER, &server.octets());
        // RFC 6842.
        if let Some(client) = asked.option(CLIENT) {
            reply.put(CLIENT, client);
        }
        reply
    }

    fn lease(&mut self) {
        self.put(LEASE, &LEASE_SECONDS.to_be_bytes());
        self.put(RENEWAL, &(LEASE_SECONDS / 2).to_be_bytes());
        self.put(REBINDING, &(LEASE_SECONDS / 8 * 7).to_be_bytes());
    }

    /// What a client asks for, the most needed first.
    fn settings(&mut self, card: &Card, mtu: u16) {
        let Some((ip, prefix)) = card.ip4 else { return };
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
        let network = u32::from(ip) & mask;
        self.offer(MASK, &mask.to_be_bytes());
        if let Some(router) = card.router4 {
            // A router that is not on the network is reached all the same, as RFC 3442 says it.
            if u32::from(router) & mask != network {
                let to = router.octets();
                self.offer(ROUTES, &[&[32][..], &to, &[0; 4], &[0], &to].concat());
            }
            self.offer(ROUTER, &router.octets());
        }
        let dns: Vec<u8> = card.dns4.iter().take(8).flat_map(|dns| dns.octets()).collect();
        self.offer(DNS, &dns);
        self.offer(MTU, &mtu.to_be_bytes());
        if prefix < 31 {
            self.offer(BROADCAST_ADDRESS, &(network | !mask).to_be_bytes());
        }
        self.offer(HOSTNAME, card.hostname.as_bytes());
        if let Some(domain) = card.search.first() {
            self.offer(DOMAIN, domain.as_bytes());
        }
        self.offer(SEARCH, &domains(&card.search, 255));
    }

    fn offer(&mut self, code: u8, value: &[u8]) {
        if self
            .asked
            .option(WANTED)
            .is_none_or(|wanted| wanted.contains(&code))
        {
            self.put(code, value);
        }
    }

    /// Left out where it is empty, or there is no room for it.
    fn put(&mut self, code: u8, value: &[u8]) {
        let Ok(length @ 1..) = u8::try_from(value.len()) else {
            return;
        };
        if self.message.len() + value.len() + 3 <= self.asked.room() {
            self.message.extend([code, length]);
            self.message.extend(value);
        }
    }

    fn end(mut self) -> Vec<u8> {
        self.message.push(END);
        self.message.resize(self.message.len().max(BOOTP), 0);
        self.message
    }
}

#[cfg(test)]
#[path = "dhcp4_tests.rs"]
mod tests;
