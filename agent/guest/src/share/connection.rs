//! The way to the server: a virtio-serial port, which is opened once and has many connections, or a vsock connection
//! after the other.

use std::fmt;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::channel::find::named_port;
use crate::machine::devices::has_vsock;

/// Before a vsock port's number: what a machine has for it that has no vsock. kiln's stand-in for Firecracker is one.
const PORT_FOR_VSOCK: &str = "kiln.vsock.";

/// How the share's server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// The virtio-serial port of this name.
    Port(String),
    /// The vsock port of this number, at the host.
    Vsock(u32),
}

impl Way {
    /// To the host's vsock port of this number, on this machine.
    pub fn to_host(port: u32) -> Self {
        Self::to_host_over(port, has_vsock())
    }

    fn to_host_over(port: u32, has_vsock: bool) -> Self {
        if has_vsock {
            Self::Vsock(port)
        } else {
            Self::Port(format!("{PORT_FOR_VSOCK}{port}"))
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(name) => text.write_str(name),
            Self::Vsock(port) => write!(text, "vsock:{port}"),
        }
    }
}

/// Tells of every change, once.
pub const CHANGES: epoll::EventFlags = epoll::EventFlags::IN
    .union(epoll::EventFlags::OUT)
    .union(epoll::EventFlags::ET);

const FIRST_BACK_OFF: Duration = Duration::from_millis(10);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(1);
/// The host answers at once; Linux itself gives up after as long.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// What a read has brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    Bytes(usize),
    /// A server is there, and silent.
    Nothing,
    /// None is there.
    Gone,
}

pub struct Connection {
    way: Way,
    fd: Option<OwnedFd>,
    /// When a connection is tried (again), also in place of one that does not come; None while there is one.
    again: Option<Instant>,
    back_off: Duration,
}

impl Connection {
    pub const fn new(way: Way, now: Instant) -> Self {
        Self {
            way,
            fd: None,
            again: Some(now),
            back_off: FIRST_BACK_OFF,
        }
    }

    /// When `open` has something to do.
    pub const fn next_try(&self) -> Option<Instant> {
        self.again
    }

    /// Tries to get one, and has the set watch it. What fails is tried again later.
    pub fn open(&mut self, now: Instant, set: &OwnedFd, data: epoll::EventData) {
        if self.again.is_none_or(|again| now < again) {
            return;
        }
        let opened = match &self.way {
            Way::Port(name) => open_port(name),
            Way::Vsock(port) => connect(*port),
        };
        match opened.and_then(|fd| {
            epoll::add(set, &fd, data, CHANGES)
                .map(|()| fd)
                .map_err(io::Error::from)
        }) {
            Ok(fd) => {
                self.fd = Some(fd);
                self.again = matches!(self.way, Way::Vsock(_)).then_some(now + CONNECT_WITHIN);
            }
            Err(_) => self.close(now),
        }
    }

    /// Has the set watch it for something else; a new one begins with `CHANGES`.
    pub fn watch(&self, set: &OwnedFd, data: epoll::EventData, flags: epoll::EventFlags) -> io::Result<()> {
        match &self.fd {
            Some(fd) => Ok(epoll::modify(set, fd, data, flags)?),
            None => Ok(()),
        }
    }

    fn close(&mut self, now: Instant) {
        self.fd = None;
        self.again = Some(now + self.back_off);
        self.back_off = (self.back_off * 2).min(LONGEST_BACK_OFF);
    }

    /// Reads what one write of the server's side gave, or some of it. Fails where the port is taken away for good.
    pub fn read(&mut self, buffer: &mut [u8], now: Instant) -> io::Result<Read> {
        let Some(fd) = &self.fd else {
            return Ok(Read::Gone);
        };
        let is_port = matches!(self.way, Way::Port(_));
        let read = match rustix::io::read(fd, &mut *buffer) {
            // The port stays open for the next server.
            Ok(0) if is_port => Read::Gone,
            Ok(count) if count > 0 => Read::Bytes(count),
            Err(Errno::AGAIN | Errno::INTR) => Read::Nothing,
            Err(error) if is_port => return Err(error.into()),
            Err(Errno::NOTCONN) if self.again.is_some_and(|again| now < again) && is_on_its_way(fd) => {
                Read::Gone
            }
            Ok(_) | Err(_) => {
                self.close(now);
                Read::Gone
            }
        };
        if read != Read::Gone {
            (self.back_off, self.again) = (FIRST_BACK_OFF, None);
        }
        Ok(read)
    }

    /// Writes some of it; 0 where no more fits now, or nobody is there.
    pub fn write(&self, bytes: &[u8]) -> usize {
        // What is wrong shows at the next read.
        self.fd
            .as_ref()
            .map_or(0, |fd| rustix::io::write(fd, bytes).unwrap_or(0))
    }
}

fn open_port(name: &str) -> io::Result<OwnedFd> {
    let device = named_port(name).ok_or(io::ErrorKind::NotFound)?;
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    Ok(rustix::fs::open(device, flags, Mode::empty())?)
}

/// Begins a connection to the host; it is there once it can be written to.
fn connect(port: u32) -> io::Result<OwnedFd> {
    // SAFETY: plain system calls; the descriptor is checked before it is owned, and the address is a valid sockaddr_vm of
    // the length given.
    let fd = unsafe {
        let raw = libc::socket(
            libc::AF_VSOCK,
            libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
            0,
        );
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        let fd = OwnedFd::from_raw_fd(raw);
        let mut address: libc::sockaddr_vm = mem::zeroed();
        address.svm_family = libc::AF_VSOCK as libc::sa_family_t;
        address.svm_cid = libc::VMADDR_CID_HOST;
        address.svm_port = port;
        let length = mem::size_of::<libc::sockaddr_vm>() as libc::socklen_t;
        if libc::connect(fd.as_raw_fd(), (&raw const address).cast(), length) != 0 {
            let error = io::Error::last_os_error();
            if error.raw_os_error() != Some(libc::EINPROGRESS) {
                return Err(error);
            }
        }
        fd
    };
    Ok(fd)
}

/// True for a connection that has begun and not failed.
fn is_on_its_way(fd: &OwnedFd) -> bool {
    matches!(rustix::net::sockopt::socket_error(fd), Ok(Ok(())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_no_stand_in_where_there_is_vsock() {
        assert_eq!(Way::to_host_over(1100, true), Way::Vsock(1100));
        assert_eq!(
            Way::to_host_over(1100, false),
            Way::Port("kiln.vsock.1100".to_owned())
        );
    }
}
