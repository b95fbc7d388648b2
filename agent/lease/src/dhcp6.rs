//! DHCPv6 (RFC 8415) of guests whose address is on record. As in `dhcp4`, nothing is kept.

use std::net::Ipv6Addr;

use crate::names::domains;
use crate::plan::{Card, Mac, Plan};

const PREFERRED_SECONDS: u32 = 6 * 3600;
const VALID_SECONDS: u32 = 12 * 3600;
/// The longest DUID, with its type.
const LONGEST_ID: usize = 130;
/// One is answered with the address; those beyond these are not looked at.
const MOST_ASSOCIATIONS: usize = 8;
const MOST_ADDRESSES: usize = 8;
const LONGEST_DOMAINS: usize = 512;

const SOLICIT: u8 = 1;
const ADVERTISE: u8 = 2;
const REQUEST: u8 = 3;
const CONFIRM: u8 = 4;
const RENEW: u8 = 5;
const REBIND: u8 = 6;
const REPLY: u8 = 7;
const RELEASE: u8 = 8;
const DECLINE: u8 = 9;
const INFORMATION: u8 = 11;

const CLIENT: u16 = 1;
const SERVER: u16 = 2;
const ASSOCIATION: u16 = 3;
const ADDRESS: u16 = 5;
const PREFERENCE: u16 = 7;
const STATUS: u16 = 13;
const RAPID: u16 = 14;
const DNS: u16 = 23;
const SEARCH: u16 = 24;
const PREFIXES: u16 = 25;

const SUCCESS: u16 = 0;
const NO_ADDRESSES: u16 = 2;
const NOT_ON_LINK: u16 = 4;
const NO_PREFIXES: u16 = 6;

struct Asked<'a> {
    kind: u8,
    transaction: &'a [u8],
    client: Option<&'a [u8]>,
    server: Option<&'a [u8]>,
    is_rapid: bool,
    associations: Vec<Association<'a>>,
    /// Ids of those that want whole prefixes.
    prefixes: Vec<&'a [u8]>,
}

struct Association<'a> {
    id: &'a [u8],
    addresses: Vec<Ipv6Addr>,
}

impl<'a> Asked<'a> {
    fn parse(message: &'a [u8]) -> Option<Self> {
        let (head, rest) = message.split_at_checked(4)?;
        let mut asked = Self {
            kind: head[0],
            transaction: &head[1..],
            client: None,
            server: None,
            is_rapid: false,
            associations: Vec::new(),
            prefixes: Vec::new(),
        };
        for option in options(rest) {
            match option? {
                (CLIENT, id) if id.len() <= LONGEST_ID => {
                    asked.client.get_or_insert(id);
                }
                (CLIENT, _) => return None,
                (SERVER, id) => asked.server = Some(id),
                (RAPID, _) => asked.is_rapid = true,
                (ASSOCIATION, body) if asked.associations.len() < MOST_ASSOCIATIONS => {
                    asked.associations.push(Association::parse(body)?);
                }
                (PREFIXES, body) if asked.prefixes.len() < MOST_ASSOCIATIONS => {
                    asked.prefixes.push(body.get(..4)?);
                }
                _ => {}
            }
        }
        Some(asked)
    }
}

impl<'a> Association<'a> {
    fn parse(body: &'a [u8]) -> Option<Self> {
        let mut addresses = Vec::new();
        for option in options(body.get(12..)?) {
            let (code, value) = option?;
            if code == ADDRESS && addresses.len() < MOST_ADDRESSES {
                addresses.push(Ipv6Addr::from(*value.first_chunk::<16>()?));
            }
        }
        Some(Self {
            id: &body[..4],
            addresses,
        })
    }
}

/// Each with its code; None, and no more, where one is not whole.
fn options(mut rest: &[u8]) -> impl Iterator<Item = Option<(u16, &[u8])>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let one = split(rest);
        rest = one.map_or(&[], |(_, _, after)| after);
        Some(one.map(|(code, value, _)| (code, value)))
    })
}

fn split(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<4>()?;
    let [a, b, c, d] = *head;
    let (value, after) = rest.split_at_checked(usize::from(u16::from_be_bytes([c, d])))?;
    Some((u16::from_be_bytes([a, b]), value, after))
}

/// @param from whose frame it came in
pub fn answer(message: &[u8], from: Mac, plan: &Plan) -> Option<Vec<u8>> {
    let asked = Asked::parse(message)?;
    let card = plan.cards.get(&from)?;
    let (ip, _) = card.ip6?;
    let own = [&[0, 3, 0, 1][..], &plan.network.sender].concat();
    let is_ours = asked.server == Some(&own[..]);
    let kind = match asked.kind {
        SOLICIT if asked.server.is_none() => match asked.is_rapid {
            true => REPLY,
            false => ADVERTISE,
        },
        CONFIRM | REBIND if asked.server.is_none() => REPLY,
        REQUEST | RENEW | RELEASE | DECLINE if is_ours => REPLY,
        INFORMATION if is_ours || asked.server.is_none() => REPLY,
        _ => return None,
    };
    // It is for those alone that say who they are, but for settings.
    if asked.client.is_none() && asked.kind != INFORMATION {
        return None;
    }
    let mut reply = Writer(vec![kind]);
    reply.0.extend(asked.transaction);
    if let Some(client) = asked.client {
        reply.put(CLIENT, &[client]);
    }
    reply.put(SERVER, &[&own]);
    match asked.kind {
        SOLICIT | REQUEST | RENEW | REBIND => {
            reply.addresses(&asked, ip);
            reply.settings(card);
        }
        INFORMATION => reply.settings(card),
        CONFIRM => reply.status(confirmed(&asked, ip)?),
        _ => reply.status(SUCCESS),
    }
    Some(reply.0)
}

/// None: it has no address that could be confirmed.
fn confirmed(asked: &Asked, ip: Ipv6Addr) -> Option<u16> {
    let mut all = asked
        .associations
        .iter()
        .flat_map(|one| &one.addresses)
        .peekable();
    all.peek()?;
    Some(if all.all(|one| *one == ip) {
        SUCCESS
    } else {
        NOT_ON_LINK
    })
}

struct Writer(Vec<u8>);

impl Writer {
    fn addresses(&mut self, asked: &Asked, ip: Ipv6Addr) {
        for (at, one) in asked.associations.iter().enumerate() {
            let mut inner = Self(Vec::new());
            // The first has it; whatever else a client has is no longer valid.
            if at == 0 {
                inner.address(ip, PREFERRED_SECONDS, VALID_SECONDS);
            } else {
                inner.status(NO_ADDRESSES);
            }
            for other in one.addresses.iter().filter(|other| at > 0 || **other != ip) {
                inner.address(*other, 0, 0);
            }
            self.association(ASSOCIATION, one.id, &inner.0);
        }
        for id in &asked.prefixes {
            let mut inner = Self(Vec::new());
            inner.status(NO_PREFIXES);
            self.association(PREFIXES, id, &inner.0);
        }
        if asked.is_rapid && asked.kind == SOLICIT {
            self.put(RAPID, &[]);
        }
        self.put(PREFERENCE, &[&[255]]);
    }

    fn association(&mut self, code: u16, id: &[u8], inner: &[u8]) {
        let [renew, rebind] = [PREFERRED_SECONDS / 2, PREFERRED_SECONDS / 5 * 4].map(u32::to_be_bytes);
        self.put(code, &[id, &renew, &rebind, inner]);
    }

    fn address(&mut self, ip: Ipv6Addr, preferred: u32, valid: u32) {
        let times = [preferred, valid].map(u32::to_be_bytes).concat();
        self.put(ADDRESS, &[&ip.octets(), &times]);
    }

    fn settings(&mut self, card: &Card) {
        let dns: Vec<u8> = card.dns6.iter().take(8).flat_map(|dns| dns.octets()).collect();
        if !dns.is_empty() {
            self.put(DNS, &[&dns]);
        }
        let search = domains(&card.search, LONGEST_DOMAINS);
        if !search.is_empty() {
            self.put(SEARCH, &[&search]);
        }
    }

    fn status(&mut self, code: u16) {
        self.put(STATUS, &[&code.to_be_bytes()]);
    }

    fn put(&mut self, code: u16, parts: &[&[u8]]) {
        let value = parts.concat();
        self.0.extend(code.to_be_bytes());
        self.0.extend((value.len() as u16).to_be_bytes());
        self.0.extend(value);
    }
}

#[cfg(test)]
#[path = "dhcp6_tests.rs"]
mod tests;
