//! Tells the others on a link whose its addresses are now. One of them may still know an address by the MAC of the machine that
//! had it before, and would send to nobody for up to a minute (net.ipv4.neigh: 30 s reachable, then 5 s of delay and 3 of probes).

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

type Mac = [u8; 6];

const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const EVERYBODY: Mac = [0xff; 6];
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: Mac = [0x33, 0x33, 0, 0, 0, 1];
const ICMPV6: u8 = 58;

/// Sends one frame for each address, on a link that is up.
pub fn announce(index: u32, mac: Mac, addresses: impl Iterator<Item = IpAddr>) -> io::Result<()> {
    // Protocol 0: nothing is received.
    let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    // SAFETY: plain bytes, of which all zeros are valid.
    let mut to: libc::sockaddr_ll = unsafe { zeroed() };
    to.sll_family = libc::AF_PACKET as u16;
    to.sll_ifindex = index as i32;
    for address in addresses {
        let frame = match address {
            IpAddr::V4(address) => arp(mac, address),
            IpAddr::V6(address) => advertisement(mac, address),
        };
        // SAFETY: the frame and a whole sockaddr_ll, each as long as is said.
        let sent = unsafe {
            libc::sendto(
                socket.as_raw_fd(),
                frame.as_ptr().cast(),
                frame.len(),
                libc::MSG_DONTWAIT,
                (&raw const to).cast(),
                size_of::<libc::sockaddr_ll>() as libc::socklen_t,
            )
        };
        if sent < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// An ARP announcement (RFC 5227, 2.3): a request whose sender and target are the address.
fn arp(mac: Mac, address: Ipv4Addr) -> Vec<u8> {
    let mut frame = header(EVERYBODY, mac, ETHERTYPE_ARP);
    // Ethernet, IPv4, their lengths, a request.
    frame.extend([0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(mac);
    frame.extend(address.octets());
    frame.extend([0; 6]);
    frame.extend(address.octets());
    frame
}

/// An unsolicited neighbour advertisement (RFC 4861, 4.4 and 7.2.6), which overrides what others know.
fn advertisement(mac: Mac, address: Ipv6Addr) -> Vec<u8> {
    const OVERRIDE: u8 = 0x20;
    const TARGET_LINK_LAYER: u8 = 2;
    let mut body = vec![136, 0, 0, 0, OVERRIDE, 0, 0, 0];
    body.extend(address.octets());
    body.extend([TARGET_LINK_LAYER, 1]);
    body.extend(mac);
    let length = body.len() as u16;
    let mut pseudo = Vec::from(address.octets());
    pseudo.extend(ALL_NODES.octets());
    pseudo.extend(u32::from(length).to_be_bytes());
    pseudo.extend([0, 0, 0, ICMPV6]);
    pseudo.extend(&body);
    body[2..4].copy_from_slice(&checksum(&pseudo).to_be_bytes());
    let mut frame = header(ALL_NODES_MAC, mac, ETHERTYPE_IPV6);
    frame.extend([0x60, 0, 0, 0]);
    frame.extend(length.to_be_bytes());
    // The hop limit says that it comes of this link.
    frame.extend([ICMPV6, 255]);
    frame.extend(address.octets());
    frame.extend(ALL_NODES.octets());
    frame.extend(body);
    frame
}

fn header(to: Mac, from: Mac, ethertype: u16) -> Vec<u8> {
    let mut frame = Vec::with_capacity(86);
    frame.extend(to);
    frame.extend(from);
    frame.extend(ethertype.to_be_bytes());
    frame
}

/// Of an even number of bytes (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks_exact(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = [2, 0, 0, 0, 0, 5];

    #[test]
    fn an_arp_announcement_has_the_address_as_sender_and_target() {
        let frame = arp(MAC, Ipv4Addr::new(10, 0, 0, 7));
        assert_eq!(frame.len(), 42);
        assert_eq!(
            frame[..14],
            [255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 5, 8, 6]
        );
        assert_eq!(frame[20..22], [0, 1]);
        assert_eq!((&frame[22..28], &frame[28..32]), (&MAC[..], &[10, 0, 0, 7][..]));
        assert_eq!(
            (&frame[32..38], &frame[38..42]),
            (&[0; 6][..], &[10, 0, 0, 7][..])
        );
    }

    #[test]
    fn an_advertisement_sums_up_and_overrides() {
        let frame = advertisement(MAC, "fd00::7".parse().unwrap());
        assert_eq!(frame.len(), 14 + 40 + 32);
        let (ip, icmp) = frame[14..].split_at(40);
        assert_eq!((ip[6], ip[7]), (ICMPV6, 255));
        assert_eq!((icmp[0], icmp[4]), (136, 0x20));
        assert_eq!(icmp[24..], [2, 1, 2, 0, 0, 0, 0, 5]);
        // With its checksum in it, the sum is all ones.
        let mut whole = ip[8..40].to_vec();
        whole.extend([0, 0, 0, 32, 0, 0, 0, ICMPV6]);
        whole.extend(icmp);
        assert_eq!(checksum(&whole), 0);
    }
}
