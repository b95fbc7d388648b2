//! Sets up a link by rtnetlink(7): port of a bridge, MTU, up. One request each, in that order, because the kernel takes what
//! belongs to a port only where the link is one already.

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};

use crate::options::{End, TapOptions};

/// The protocol 0, which rustix has no name for.
const NETLINK_ROUTE: Option<rustix::net::Protocol> = None;
const HEADER: usize = 16;
/// `struct ifinfomsg`
const LINK: usize = 16;
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
const IN6_ADDR_GEN_MODE_NONE: u8 = 1;
const IFLA_BRPORT_ISOLATED: u16 = 33;

pub fn set_up(tap: &TapOptions) -> io::Result<()> {
    let index = index_of(&tap.name)?;
    let master = match &tap.end {
        End::Bridge(name) => Some(index_of(name)?),
        End::Redirect(_) | End::None => None,
    };
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        NETLINK_ROUTE,
    )?;
    let request = Request::of(index, 0).number(libc::IFLA_MTU, tap.mtu);
    let request = match master {
        Some(master) => request.number(libc::IFLA_MASTER, master),
        None => request,
    };
    ask(
        &socket,
        request.nest(
            libc::IFLA_AF_SPEC,
            // No address of its own: only its bridge speaks for the host.
            |request| {
                request.nest(libc::AF_INET6 as u16, |request| {
                    request.bytes(IFLA_INET6_ADDR_GEN_MODE, &[IN6_ADDR_GEN_MODE_NONE])
                })
            },
        ),
    )?;
    if tap.isolated {
        ask(
            &socket,
            Request::of(index, 0).nest(libc::IFLA_LINKINFO, |request| {
                request
                    .bytes(libc::IFLA_INFO_SLAVE_KIND, b"bridge")
                    .nest(libc::IFLA_INFO_SLAVE_DATA, |request| {
                        request.bytes(IFLA_BRPORT_ISOLATED, &[1])
                    })
            }),
        )?;
    }
    ask(&socket, Request::of(index, libc::IFF_UP as u32))
}

fn index_of(name: &str) -> io::Result<u32> {
    let text = std::ffi::CString::new(name)?;
    // SAFETY: a string that ends.
    match unsafe { libc::if_nametoindex(text.as_ptr()) } {
        0 => Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("there is no link {name}"),
        )),
        index => Ok(index),
    }
}

/// One RTM_NEWLINK for a link that is there.
struct Request(Vec<u8>);

impl Request {
    /// @param flags to be set; others stay
    fn of(index: u32, flags: u32) -> Request {
        let mut bytes = vec![0; HEADER + LINK];
        bytes[4..6].copy_from_slice(&libc::RTM_NEWLINK.to_ne_bytes());
        bytes[6..8].copy_from_slice(&((libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16).to_ne_bytes());
        bytes[20..24].copy_from_slice(&index.to_ne_bytes());
        bytes[24..28].copy_from_slice(&flags.to_ne_bytes());
        bytes[28..32].copy_from_slice(&flags.to_ne_bytes());
        Request(bytes)
    }

    fn number(self, kind: u16, value: u32) -> Request {
        self.bytes(kind, &value.to_ne_bytes())
    }

    fn bytes(self, kind: u16, value: &[u8]) -> Request {
        self.nest(kind, |mut request| {
            request.0.extend_from_slice(value);
            request
        })
    }

    /// An attribute of what `fill` adds, padded to four bytes.
    fn nest(mut self, kind: u16, fill: impl FnOnce(Request) -> Request) -> Request {
        let start = self.0.len();
        self.0.extend_from_slice(&[0, 0]);
        self.0.extend_from_slice(&kind.to_ne_bytes());
        let mut filled = fill(self);
        let length = (filled.0.len() - start) as u16;
        filled.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        filled.0.resize(filled.0.len().next_multiple_of(4), 0);
        filled
    }

    fn finish(mut self) -> Vec<u8> {
        let length = self.0.len() as u32;
        self.0[0..4].copy_from_slice(&length.to_ne_bytes());
        self.0
    }
}

fn ask(socket: &OwnedFd, request: Request) -> io::Result<()> {
    let kernel = SocketAddrNetlink::new(0, 0);
    sendto(socket, &request.finish(), SendFlags::empty(), &kernel)?;
    let mut answer = [0; 4096];
    let (_, length) = recv(socket, &mut answer, RecvFlags::empty())?;
    verdict(&answer[..length.min(answer.len())])
}

/// Of an answer to a request that asked for one: `struct nlmsgerr` with 0 or a negative errno.
fn verdict(answer: &[u8]) -> io::Result<()> {
    let word = |at: usize| {
        answer
            .get(at..at + 4)
            .and_then(|bytes| bytes.try_into().ok())
            .map(i32::from_ne_bytes)
    };
    let kind = answer
        .get(4..6)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u16::from_ne_bytes);
    match (kind, word(HEADER)) {
        (Some(kind), Some(0)) if i32::from(kind) == libc::NLMSG_ERROR => Ok(()),
        (Some(kind), Some(errno)) if i32::from(kind) == libc::NLMSG_ERROR => {
            Err(io::Error::from_raw_os_error(-errno))
        }
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the kernel's answer is none",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_have_their_length_and_are_padded() {
        let bytes = Request::of(7, 0)
            .nest(1, |request| request.bytes(2, &[9]))
            .finish();
        let attribute = &bytes[HEADER + LINK..];
        assert_eq!(
            attribute,
            [
                &12u16.to_ne_bytes()[..],
                &1u16.to_ne_bytes(),
                &5u16.to_ne_bytes(),
                &2u16.to_ne_bytes(),
                &[9, 0, 0, 0]
            ]
            .concat()
        );
        assert_eq!(bytes[0..4], (bytes.len() as u32).to_ne_bytes());
    }

    #[test]
    fn answers_are_an_acknowledgement_or_an_error() {
        let mut answer = vec![0; 36];
        answer[4..6].copy_from_slice(&(libc::NLMSG_ERROR as u16).to_ne_bytes());
        assert!(verdict(&answer).is_ok());
        answer[16..20].copy_from_slice(&(-libc::EBUSY).to_ne_bytes());
        assert_eq!(verdict(&answer).unwrap_err().raw_os_error(), Some(libc::EBUSY));
        assert!(verdict(&answer[..12]).is_err());
        assert!(verdict(&[]).is_err());
    }
}
