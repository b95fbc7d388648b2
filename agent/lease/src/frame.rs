//! Ethernet frames of the three kinds that are answered, and answers as frames. Checksums of what comes are not looked at: a
//! guest leaves them to a card that never adds them.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::plan::Mac;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const UDP: u8 = 17;
const ICMP6: u8 = 58;
const ROUTER_SOLICITATION: u8 = 133;
pub const BROADCAST: Mac = [0xff; 6];

#[derive(Debug, PartialEq, Eq)]
pub enum Ask<'a> {
    Dhcp4(&'a [u8]),
    /// With whom it is from.
    Dhcp6(Ipv6Addr, &'a [u8]),
    Router,
}

/// @returns whose frame it is, and what it asks
pub fn parse(frame: &[u8]) -> Option<(Mac, Ask<'_>)> {
    let from: Mac = *frame.get(6..)?.first_chunk()?;
    // Of a group: nobody's.
    if from[0] & 1 == 1 {
        return None;
    }
    let body = frame.get(14..)?;
    let ask = match word(frame, 12)? {
        IPV4 => ipv4(body)?,
        IPV6 => ipv6(body)?,
        _ => return None,
    };
    Some((from, ask))
}

fn ipv4(packet: &[u8]) -> Option<Ask<'_>> {
    let first = *packet.first()?;
    let header = usize::from(first & 15) * 4;
    // More fragments, or not the first.
    let is_part = word(packet, 6)? & 0x3fff != 0;
    if first >> 4 != 4 || header < 20 || is_part || *packet.get(9)? != UDP {
        return None;
    }
    let packet = packet.get(..usize::from(word(packet, 2)?))?;
    Some(Ask::Dhcp4(udp(packet.get(header..)?, 67)?))
}

fn ipv6(packet: &[u8]) -> Option<Ask<'_>> {
    let body = packet.get(40..)?.get(..usize::from(word(packet, 4)?))?;
    let from = Ipv6Addr::from(*packet.get(8..)?.first_chunk::<16>()?);
    if packet[0] >> 4 != 6 {
        return None;
    }
    match packet[6] {
        UDP if from.is_unicast_link_local() => Some(Ask::Dhcp6(from, udp(body, 547)?)),
        // A hop limit of less than 255 has come by a router (RFC 4861).
        ICMP6 if packet[7] == 255 && *body.first()? == ROUTER_SOLICITATION => Some(Ask::Router),
        _ => None,
    }
}

fn udp(packet: &[u8], port: u16) -> Option<&[u8]> {
    if word(packet, 2)? != port {
        return None;
    }
    packet.get(8..usize::from(word(packet, 4)?))
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|word| u16::from_be_bytes(*word))
}

pub fn udp4(from: (Mac, Ipv4Addr), to: (Mac, Ipv4Addr), payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() + 28) as u16;
    let mut header = vec![0x45, 0xc0, 0, 0, 0, 0, 0x40, 0, 64, UDP, 0, 0];
    header[2..4].copy_from_slice(&length.to_be_bytes());
    header.extend(from.1.octets());
    header.extend(to.1.octets());
    let sum = checksum(&[&header]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    let segment = datagram(67, 68, payload, &[from.1.octets(), to.1.octets()].concat());
    [&ethernet(to.0, from.0, IPV4)[..], &header, &segment].concat()
}

pub fn udp6(from: (Mac, Ipv6Addr), to: (Mac, Ipv6Addr), payload: &[u8]) -> Vec<u8> {
    let ends = [from.1.octets(), to.1.octets()].concat();
    packet6(from.0, to.0, &ends, UDP, 64, &datagram(547, 546, payload, &ends))
}

/// @param body with a checksum of zero
pub fn icmp6(from: (Mac, Ipv6Addr), to: (Mac, Ipv6Addr), mut body: Vec<u8>) -> Vec<u8> {
    let ends = [from.1.octets(), to.1.octets()].concat();
    let sum = checksum(&[&ends, &pseudo(body.len(), ICMP6), &body]);
    body[2..4].copy_from_slice(&sum.to_be_bytes());
    packet6(from.0, to.0, &ends, ICMP6, 255, &body)
}

fn packet6(from: Mac, to: Mac, ends: &[u8], next: u8, hops: u8, body: &[u8]) -> Vec<u8> {
    let mut header = vec![0x60, 0, 0, 0];
    header.extend((body.len() as u16).to_be_bytes());
    header.extend([next, hops]);
    [&ethernet(to, from, IPV6)[..], &header, ends, body].concat()
}

/// @param ends both addresses
fn datagram(from: u16, to: u16, payload: &[u8], ends: &[u8]) -> Vec<u8> {
    let length = payload.len() + 8;
    let mut segment = [from, to, length as u16, 0].map(u16::to_be_bytes).concat();
    segment.extend(payload);
    let sum = match checksum(&[ends, &pseudo(length, UDP), &segment]) {
        // Zero says that there is none.
        0 => 0xffff,
        sum => sum,
    };
    segment[6..8].copy_from_slice(&sum.to_be_bytes());
    segment
}

fn pseudo(length: usize, protocol: u8) -> Vec<u8> {
    let mut header = (length as u32).to_be_bytes().to_vec();
    header.extend([0, 0, 0, protocol]);
    header
}

fn ethernet(to: Mac, from: Mac, kind: u16) -> Vec<u8> {
    [&to[..], &from, &kind.to_be_bytes()].concat()
}

/// RFC 1071, over parts of which all but the last are of even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum: u64 = 0;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Mac = [2, 0, 0, 0, 0, 5];

    #[test]
    fn reads_what_it_writes_of_each_kind() {
        let (a, b) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let mut frame = udp4((HERE, a), (BROADCAST, b), b"abc");
        assert_eq!(checksum(&[&frame[14..34]]), 0);
        assert_eq!(parse(&frame), None, "an answer");
        frame[36..38].copy_from_slice(&67_u16.to_be_bytes());
        assert_eq!(parse(&frame), Some((HERE, Ask::Dhcp4(&b"abc"[..]))));
        frame[20] = 0x20;
        assert_eq!(parse(&frame), None, "a fragment");

        let (one, other) = ("fe80::5".parse().unwrap(), "fe80::1".parse().unwrap());
        let mut frame = udp6((HERE, one), (BROADCAST, other), b"abc");
        let sum = checksum(&[&frame[22..54], &pseudo(11, UDP), &frame[54..]]);
        assert_eq!(sum, 0);
        frame[56..58].copy_from_slice(&547_u16.to_be_bytes());
        assert_eq!(parse(&frame), Some((HERE, Ask::Dhcp6(one, &b"abc"[..]))));

        let frame = icmp6((HERE, one), (BROADCAST, other), vec![133, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(parse(&frame), Some((HERE, Ask::Router)));
    }

    #[test]
    fn takes_no_length_at_its_word() {
        let (one, other) = ("fe80::5".parse().unwrap(), "fe80::1".parse().unwrap());
        let mut frame = udp6((HERE, one), (BROADCAST, other), b"abc");
        frame[56..58].copy_from_slice(&547_u16.to_be_bytes());
        for length in [0, 7, 12, 0xffff_u16] {
            frame[58..60].copy_from_slice(&length.to_be_bytes());
            assert_eq!(parse(&frame), None, "{length}");
        }
        for length in 0..frame.len() {
            assert_eq!(parse(&frame[..length]), None, "{length}");
        }
    }
}
