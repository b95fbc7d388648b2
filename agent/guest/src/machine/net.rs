//! The guest's network as the host describes it: links by MAC, names, MTU, addresses, default routes.

use std::io;
use std::net::IpAddr;

use super::announce::announce;
use super::net_spec::Wanted;
use super::netlink::{Message, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE, Socket, attributes};
use crate::grpc::status::{Code, Result, Status};
use crate::proto::Network;

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_SETLINK: u16 = 19;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const IFF_UP: u32 = 1;
/// No duplicate-address detection: the address is usable at once, and the host gave it to us alone.
const IFA_F_NODAD: u8 = 2;
/// The gateway is on the link, whatever the prefix says.
const RTNH_F_ONLINK: u32 = 4;
const SCOPE_GLOBAL: u8 = 0;
const LOOPBACK: u32 = 1;

pub struct Link {
    pub index: u32,
    pub name: String,
    pub mac: Vec<u8>,
}

/// Brings loopback up.
pub fn loopback_up() -> Result<()> {
    let up =
        |socket: &mut Socket| socket.request(Message::new(RTM_SETLINK, 0).link(LOOPBACK, IFF_UP, IFF_UP));
    Socket::open()
        .and_then(|mut socket| up(&mut socket))
        .map(drop)
        .map_err(|error| Status::from_io("bring loopback up", error))
}

/// Makes every named interface as described; may be called again with changes.
pub fn configure(network: &Network) -> Result<()> {
    let wanted = network
        .interfaces
        .iter()
        .map(Wanted::read)
        .collect::<Result<Vec<_>>>()?;
    let mut socket = Socket::open().map_err(|error| Status::from_io("open rtnetlink", error))?;
    for (number, interface) in wanted.iter().enumerate() {
        // Each time: the one before may have given a link another name.
        let links =
            links(&mut socket).map_err(|error| Status::from_io("list the network interfaces", error))?;
        let failed = |error| Status::from_io(format_args!("configure {}", interface.name), error);
        let index = find(&links, interface)?;
        let taken = links
            .iter()
            .find(|link| link.name == interface.name && link.index != index);
        if let Some(other) = taken {
            // Two links that swap names: the other gets its own when its turn comes.
            rename(&mut socket, other.index, &format!("kiln{number}")).map_err(failed)?;
        }
        apply(&mut socket, index, interface).map_err(failed)?;
    }
    Ok(())
}

/// All links of this network namespace.
pub fn all_links() -> Result<Vec<Link>> {
    Socket::open()
        .and_then(|mut socket| links(&mut socket))
        .map_err(|error| Status::from_io("list the network interfaces", error))
}

/// Takes a link down: its routes go with it.
pub fn down(link: &Link) -> Result<()> {
    Socket::open()
        .and_then(|mut socket| socket.request(Message::new(RTM_SETLINK, 0).link(link.index, 0, IFF_UP)))
        .map(drop)
        .map_err(|error| Status::from_io(format_args!("take {} down", link.name), error))
}

/// The first address of the network, for the guest's own name.
pub fn first_address(network: Option<&Network>) -> Option<String> {
    let cidr = network?
        .interfaces
        .iter()
        .find_map(|interface| interface.addresses.first())?;
    Some(cidr.split('/').next()?.to_owned())
}

fn find(links: &[Link], interface: &Wanted) -> Result<u32> {
    links
        .iter()
        .find(|link| link.mac == interface.mac)
        .map(|link| link.index)
        .ok_or_else(|| {
            let mac = interface.mac.map(|byte| format!("{byte:02x}")).join(":");
            Status::new(
                Code::NotFound,
                format!("the guest has no network interface with MAC {mac}"),
            )
        })
}

fn apply(socket: &mut Socket, index: u32, interface: &Wanted) -> io::Result<()> {
    rename(socket, index, &interface.name)?;
    if interface.mtu != 0 {
        let message = Message::new(RTM_SETLINK, 0).link(index, 0, 0);
        socket.request(message.attribute(IFLA_MTU, &interface.mtu.to_ne_bytes()))?;
    }
    for (address, prefix) in addresses(socket, index)? {
        if !interface.addresses.contains(&(address, prefix)) {
            socket.request(address_message(RTM_DELADDR, 0, index, address, prefix))?;
        }
    }
    socket.request(Message::new(RTM_SETLINK, 0).link(index, IFF_UP, IFF_UP))?;
    for &(address, prefix) in &interface.addresses {
        socket.request(address_message(
            RTM_NEWADDR,
            NLM_F_CREATE | NLM_F_REPLACE,
            index,
            address,
            prefix,
        ))?;
    }
    for &gateway in &interface.gateways {
        let message = Message::new(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE)
            .default_route(family(gateway), RTNH_F_ONLINK)
            .ip(RTA_GATEWAY, gateway)
            .attribute(RTA_OIF, &index.to_ne_bytes());
        socket.request(message)?;
    }
    // Not worth a boot: those who know the address by another MAC ask again after a minute.
    let _ = announce(index, interface.mac, interface.addresses.iter().map(|one| one.0));
    Ok(())
}

/// A link is renamed while it is down.
fn rename(socket: &mut Socket, index: u32, name: &str) -> io::Result<()> {
    if links(socket)?
        .iter()
        .any(|link| link.index == index && link.name == name)
    {
        return Ok(());
    }
    socket.request(Message::new(RTM_SETLINK, 0).link(index, 0, IFF_UP))?;
    let name = format!("{name}\0");
    socket.request(
        Message::new(RTM_SETLINK, 0)
            .link(index, 0, 0)
            .attribute(IFLA_IFNAME, name.as_bytes()),
    )?;
    Ok(())
}

fn links(socket: &mut Socket) -> io::Result<Vec<Link>> {
    let replies = socket.request(Message::new(RTM_GETLINK, NLM_F_DUMP).link(0, 0, 0))?;
    Ok(replies
        .iter()
        .filter(|reply| reply.kind == RTM_NEWLINK)
        .filter_map(|reply| parse_link(&reply.body))
        .collect())
}

fn parse_link(body: &[u8]) -> Option<Link> {
    let index = u32::from_ne_bytes(*body.get(4..8)?.first_chunk()?);
    let mut link = Link {
        index,
        name: String::new(),
        mac: Vec::new(),
    };
    for (kind, value) in attributes(body.get(16..)?) {
        match kind {
            IFLA_ADDRESS => link.mac = value.to_vec(),
            IFLA_IFNAME => link.name = String::from_utf8_lossy(value).trim_end_matches('\0').to_owned(),
            _ => {}
        }
    }
    Some(link)
}

/// The global addresses of a link: link-local ones are the kernel's own.
fn addresses(socket: &mut Socket, index: u32) -> io::Result<Vec<(IpAddr, u8)>> {
    let replies = socket.request(Message::new(RTM_GETADDR, NLM_F_DUMP).address(0, 0, 0, 0))?;
    Ok(replies
        .iter()
        .filter_map(|reply| parse_address(&reply.body, index))
        .collect())
}

fn parse_address(body: &[u8], index: u32) -> Option<(IpAddr, u8)> {
    let &[_, prefix, _, scope, a, b, c, d] = body.first_chunk::<8>()?;
    if u32::from_ne_bytes([a, b, c, d]) != index || scope != SCOPE_GLOBAL {
        return None;
    }
    let mut found = None;
    for (kind, value) in attributes(&body[8..]) {
        // On a point-to-point link the two differ, and LOCAL is ours.
        if kind == IFA_LOCAL || kind == IFA_ADDRESS && found.is_none() {
            found = to_ip(value);
        }
    }
    Some((found?, prefix))
}

fn to_ip(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .ok()
        .or_else(|| <[u8; 16]>::try_from(bytes).map(IpAddr::from).ok())
}

fn address_message(kind: u16, flags: u16, index: u32, address: IpAddr, prefix: u8) -> Message {
    let nodad = if address.is_ipv6() { IFA_F_NODAD } else { 0 };
    Message::new(kind, flags)
        .address(family(address), prefix, nodad, index)
        .ip(IFA_LOCAL, address)
        .ip(IFA_ADDRESS, address)
}

const fn family(address: IpAddr) -> u8 {
    (if address.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    }) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_link_as_the_kernel_lists_it() {
        let mut body = vec![0; 16];
        body[4..8].copy_from_slice(&5_u32.to_ne_bytes());
        body.extend([9, 0, 3, 0]);
        body.extend(b"eth0\0\0\0\0");
        body.extend([10, 0, 1, 0, 2, 0, 0, 0, 0, 9, 0, 0]);
        let link = parse_link(&body).unwrap();
        assert_eq!(
            (link.index, link.name.as_str(), link.mac.as_slice()),
            (5, "eth0", &[2, 0, 0, 0, 0, 9][..])
        );
    }
}
