//! rtnetlink messages: the few that setting up a network takes (linux/rtnetlink.h, linux/if_link.h).

use std::io;
use std::mem;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const HEADER: usize = 16;
/// More than any dump of a guest with some dozen links gives at once.
const BUFFER: usize = 64 << 10;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
pub const NLM_F_DUMP: u16 = 0x300;
pub const NLM_F_REPLACE: u16 = 0x100;
pub const NLM_F_CREATE: u16 = 0x400;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// One request in the making.
pub struct Message {
    bytes: Vec<u8>,
}

impl Message {
    pub fn new(kind: u16, flags: u16) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(flags | NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
        Self { bytes }
    }

    /// ifinfomsg.
    pub fn link(mut self, index: u32, flags: u32, change: u32) -> Self {
        self.bytes.extend([0; 4]);
        self.bytes.extend(index.to_ne_bytes());
        self.bytes.extend(flags.to_ne_bytes());
        self.bytes.extend(change.to_ne_bytes());
        self
    }

    /// ifaddrmsg.
    pub fn address(mut self, family: u8, prefix: u8, flags: u8, index: u32) -> Self {
        self.bytes.extend([family, prefix, flags, 0]);
        self.bytes.extend(index.to_ne_bytes());
        self
    }

    /// rtmsg of a unicast route in the main table to everywhere.
    pub fn default_route(mut self, family: u8, flags: u32) -> Self {
        const MAIN: u8 = 254;
        const BOOT: u8 = 3;
        const UNICAST: u8 = 1;
        self.bytes.extend([family, 0, 0, 0, MAIN, BOOT, 0, UNICAST]);
        self.bytes.extend(flags.to_ne_bytes());
        self
    }

    pub fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(4 + value.len()).expect("attributes are short");
        self.bytes.extend(length.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    pub fn ip(self, kind: u16, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => self.attribute(kind, &address.octets()),
            IpAddr::V6(address) => self.attribute(kind, &address.octets()),
        }
    }

    fn finish(mut self, sequence: u32) -> Vec<u8> {
        let length = self.bytes.len() as u32;
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.bytes
    }
}

/// One answer: its kind and what follows the header.
pub struct Reply {
    pub kind: u16,
    pub body: Vec<u8>,
}

/// Attributes behind the fixed part of an answer; stops at the first malformed one.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let &[a, b, c, d] = bytes.first_chunk::<4>()?;
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        // The two top bits are flags.
        Some((u16::from_ne_bytes([c, d]) & 0x3fff, value))
    })
}

pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
}

impl Socket {
    pub fn open() -> io::Result<Self> {
        // SAFETY: plain system calls; the descriptor is checked before it is owned.
        let fd = unsafe {
            let raw = libc::socket(
                libc::AF_NETLINK,
                libc::SOCK_RAW | libc::SOCK_CLOEXEC,
                libc::NETLINK_ROUTE,
            );
            if raw < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(raw)
        };
        // The kernel answers at once; this only keeps a surprise from stopping the agent.
        let patience = libc::timeval {
            tv_sec: 5,
            tv_usec: 0,
        };
        // SAFETY: the option is a timeval and the length says so.
        unsafe {
            let length = mem::size_of::<libc::timeval>() as libc::socklen_t;
            let value = (&raw const patience).cast();
            libc::setsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVTIMEO, value, length);
        }
        Ok(Self { fd, sequence: 0 })
    }

    /// Sends one request and collects its answers up to the acknowledgement.
    pub fn request(&mut self, message: Message) -> io::Result<Vec<Reply>> {
        self.sequence += 1;
        rustix::io::write(&self.fd, &message.finish(self.sequence))?;
        let mut replies = Vec::new();
        let mut buffer = vec![0; BUFFER];
        loop {
            let count = rustix::io::read(&self.fd, &mut buffer)?;
            if take(&buffer[..count], self.sequence, &mut replies)? {
                return Ok(replies);
            }
        }
    }
}

/// Splits one read into answers; true once the last is there.
fn take(mut bytes: &[u8], sequence: u32, replies: &mut Vec<Reply>) -> io::Result<bool> {
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "a malformed netlink answer");
    while !bytes.is_empty() {
        let header = bytes.first_chunk::<HEADER>().ok_or_else(malformed)?;
        let number =
            |at: usize| u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let length = number(0) as usize;
        let body = bytes.get(HEADER..length).ok_or_else(malformed)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        if number(8) != sequence {
            continue;
        }
        match u16::from_ne_bytes([header[4], header[5]]) {
            NLMSG_DONE => return Ok(true),
            NLMSG_ERROR => {
                let code = i32::from_ne_bytes(*body.first_chunk::<4>().ok_or_else(malformed)?);
                return if code == 0 {
                    Ok(true)
                } else {
                    Err(io::Error::from_raw_os_error(-code))
                };
            }
            kind => replies.push(Reply {
                kind,
                body: body.to_vec(),
            }),
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_an_address_as_the_kernel_reads_it() {
        let ip: IpAddr = "10.0.2.15".parse().unwrap();
        let bytes = Message::new(20, NLM_F_CREATE)
            .address(2, 24, 0, 7)
            .ip(2, ip)
            .finish(3);
        assert_eq!(bytes[..4], 32_u32.to_ne_bytes());
        assert_eq!(bytes[4..6], 20_u16.to_ne_bytes());
        assert_eq!(bytes[6..8], 0x405_u16.to_ne_bytes());
        assert_eq!(bytes[8..12], 3_u32.to_ne_bytes());
        assert_eq!(bytes[16..20], [2, 24, 0, 0]);
        assert_eq!(bytes[24..], [8, 0, 2, 0, 10, 0, 2, 15]);
    }

    #[test]
    fn pads_attributes_to_four_bytes() {
        let bytes = Message::new(16, 0)
            .attribute(3, b"eth0\0")
            .attribute(4, &1500_u32.to_ne_bytes())
            .finish(1);
        assert_eq!(bytes.len(), HEADER + 12 + 8);
        let seen: Vec<_> = attributes(&bytes[HEADER..]).collect();
        assert_eq!(seen, [(3, &b"eth0\0"[..]), (4, &1500_u32.to_ne_bytes()[..])]);
    }

    #[test]
    fn stops_at_a_malformed_attribute() {
        assert_eq!(attributes(&[200, 0, 1, 0, 1, 2]).count(), 0);
        assert_eq!(attributes(&[0, 0, 1, 0]).count(), 0);
        assert_eq!(attributes(&[1, 0]).count(), 0);
    }

    fn answer(kind: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = ((HEADER + body.len()) as u32).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 2]);
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(body);
        bytes
    }

    #[test]
    fn collects_answers_up_to_the_end() {
        let mut replies = Vec::new();
        let bytes = [
            answer(16, 1, &[1; 4]),
            answer(16, 9, &[2; 4]),
            answer(NLMSG_DONE, 1, &[0; 4]),
        ]
        .concat();
        assert!(take(&bytes, 1, &mut replies).unwrap());
        assert_eq!(replies.len(), 1);
    }

    #[test]
    fn gives_the_kernels_error() {
        let bytes = answer(NLMSG_ERROR, 1, &(-libc::EEXIST).to_ne_bytes());
        let error = take(&bytes, 1, &mut Vec::new()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EEXIST));
        assert!(take(&[1, 2, 3], 1, &mut Vec::new()).is_err());
    }
}
