//! The frames of one link that ask for something, and what tells of links that come and go. Both are opened at the start, after
//! which no right is needed any more.

use std::ffi::CString;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use libc::{c_int, c_void, sockaddr, socklen_t};

const LONGEST_FRAME: usize = 2048;

/// AF_PACKET, for frames of DHCPv4, DHCPv6 and router solicitations alone. It sees them before any rule does.
pub struct Frames {
    socket: OwnedFd,
    /// The index of the link that it is bound to; 0 of none.
    link: c_int,
}

impl Frames {
    pub fn open() -> io::Result<Self> {
        // Protocol 0: nothing comes until it is bound to a link.
        let socket = socket(libc::AF_PACKET, libc::SOCK_RAW, 0)?;
        let filter = filter();
        let program = libc::sock_fprog {
            len: filter.len() as u16,
            filter: filter.as_ptr().cast_mut(),
        };
        // SAFETY: the kernel copies the program, which lives here.
        check(unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_ATTACH_FILTER,
                (&raw const program).cast(),
                size_of::<libc::sock_fprog>() as socklen_t,
            )
        })?;
        Ok(Self { socket, link: 0 })
    }

    /// Follows the link of that name, which may be another than before, or none.
    pub fn follow(&mut self, name: &CString) -> io::Result<()> {
        let link = index(name);
        if link == self.link {
            return Ok(());
        }
        if link != 0 {
            let address = self.address(link);
            // SAFETY: a whole sockaddr_ll.
            let bound = unsafe {
                libc::bind(
                    self.socket.as_raw_fd(),
                    (&raw const address).cast(),
                    length(&address),
                )
            };
            match check(bound) {
                // It has gone in the meantime, and another word of that comes.
                Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return Ok(()),
                bound => bound?,
            };
        }
        self.link = link;
        Ok(())
    }

    fn address(&self, link: c_int) -> libc::sockaddr_ll {
        // SAFETY: plain bytes, of which all zeros are valid.
        let mut address: libc::sockaddr_ll = unsafe { zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = link;
        address
    }

    /// None: there is none, or none that came in by the link.
    pub fn receive<'a>(&self, buffer: &'a mut [u8; LONGEST_FRAME]) -> Option<&'a [u8]> {
        let mut from = self.address(0);
        let mut size = length(&from);
        // SAFETY: both are as long as is said.
        let count = unsafe {
            libc::recvfrom(
                self.socket.as_raw_fd(),
                buffer.as_mut_ptr().cast::<c_void>(),
                buffer.len(),
                libc::MSG_DONTWAIT,
                (&raw mut from).cast::<sockaddr>(),
                &raw mut size,
            )
        };
        // An error says that the link has gone down: what tells of links tells of that as well.
        let count = usize::try_from(count).ok()?;
        let is_ours = from.sll_ifindex == self.link && from.sll_pkttype != libc::PACKET_OUTGOING;
        is_ours.then(|| &buffer[..count])
    }

    /// What a guest does not get it asks for again.
    pub fn send(&self, frame: &[u8]) {
        // SAFETY: the socket is bound to the link; the frame is as long as is said.
        unsafe {
            libc::send(
                self.socket.as_raw_fd(),
                frame.as_ptr().cast(),
                frame.len(),
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            )
        };
    }

    pub fn fd(&self) -> c_int {
        self.socket.as_raw_fd()
    }
}

pub const fn buffer() -> [u8; LONGEST_FRAME] {
    [0; LONGEST_FRAME]
}

/// rtnetlink's words of links that change: which ones does not matter.
pub struct Links(OwnedFd);

impl Links {
    pub fn open() -> io::Result<Self> {
        let socket = socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE)?;
        // SAFETY: plain bytes, of which all zeros are valid.
        let mut address: libc::sockaddr_nl = unsafe { zeroed() };
        address.nl_family = libc::AF_NETLINK as u16;
        address.nl_groups = libc::RTMGRP_LINK as u32;
        // SAFETY: a whole sockaddr_nl.
        check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length(&address)) })?;
        Ok(Self(socket))
    }

    /// Takes all that there is, also that there was too much.
    pub fn drain(&self) {
        let mut buffer = [0_u8; 8192];
        loop {
            // SAFETY: as long as is said.
            let count = unsafe {
                libc::recv(
                    self.fd(),
                    buffer.as_mut_ptr().cast(),
                    buffer.len(),
                    libc::MSG_DONTWAIT,
                )
            };
            if count < 0 && io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock {
                return;
            }
        }
    }

    pub fn fd(&self) -> c_int {
        self.0.as_raw_fd()
    }
}

/// 0 where there is none of that name.
pub fn index(name: &CString) -> c_int {
    // SAFETY: a string that ends.
    unsafe { libc::if_nametoindex(name.as_ptr()) as c_int }
}

/// Waits for either, or for so long.
pub fn wait(fds: [c_int; 2], patience_ms: c_int) -> io::Result<[bool; 2]> {
    let mut polled = fds.map(|fd| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    });
    // SAFETY: two whole entries.
    match check(unsafe { libc::poll(polled.as_mut_ptr(), 2, patience_ms) }) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok([false; 2]),
        Err(error) => Err(error),
        Ok(_) => Ok(polled.map(|one| one.revents != 0)),
    }
}

/// For good: neither this process nor one that it could become has a right of root's.
pub fn drop_rights() -> io::Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: c_int,
    }
    // linux/capability.h: _LINUX_CAPABILITY_VERSION_3, which has its sets in two halves.
    let header = Header {
        version: 0x2008_0522,
        pid: 0,
    };
    let sets = [[0_u32; 3]; 2];
    // SAFETY: as the kernel's header has them.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw const header, &raw const sets) as c_int })?;
    // SAFETY: plain numbers.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
    Ok(())
}

/// Classic BPF: accepts what `frame::parse` may answer. Jumps count from the next line.
fn filter() -> [libc::sock_filter; 19] {
    const LOAD_BYTE: u16 = 0x30;
    const LOAD_WORD: u16 = 0x28;
    /// 4 * (byte & 15): the length of an IPv4 header.
    const LOAD_HEADER: u16 = 0xb1;
    const LOAD_WORD_BEHIND: u16 = 0x48;
    const IS: u16 = 0x15;
    const HAS: u16 = 0x45;
    const RETURN: u16 = 0x06;
    let line = |code, k, jt, jf| libc::sock_filter { code, jt, jf, k };
    [
        line(LOAD_WORD, 12, 0, 0),
        line(IS, 0x0800, 0, 7),
        line(LOAD_BYTE, 23, 0, 0),
        line(IS, 17, 0, 14),
        line(LOAD_WORD, 20, 0, 0),
        line(HAS, 0x3fff, 12, 0),
        line(LOAD_HEADER, 14, 0, 0),
        line(LOAD_WORD_BEHIND, 16, 0, 0),
        line(IS, 67, 8, 9),
        line(IS, 0x86dd, 0, 8),
        line(LOAD_BYTE, 20, 0, 0),
        line(IS, 17, 0, 2),
        line(LOAD_WORD, 56, 0, 0),
        line(IS, 547, 3, 4),
        line(IS, 58, 0, 3),
        line(LOAD_BYTE, 54, 0, 0),
        line(IS, 133, 0, 1),
        line(RETURN, LONGEST_FRAME as u32, 0, 0),
        line(RETURN, 0, 0, 0),
    ]
}

fn socket(family: c_int, kind: c_int, protocol: c_int) -> io::Result<OwnedFd> {
    // SAFETY: plain numbers.
    let fd = check(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) })?;
    // SAFETY: new, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

fn length<T>(_: &T) -> socklen_t {
    size_of::<T>() as socklen_t
}
