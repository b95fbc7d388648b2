//! AF_VSOCK: the way in on Firecracker.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use tokio::io::unix::AsyncFd;

use crate::process::io::{FdStream, watch};

/// One host at a time; a few more may wait.
const BACKLOG: libc::c_int = 8;

pub struct VsockListener {
    fd: AsyncFd<OwnedFd>,
}

impl VsockListener {
    pub fn bind(port: u32) -> io::Result<Self> {
        // SAFETY: plain system calls; the descriptor is checked before it is owned, and the address is a valid
        // sockaddr_vm of the length given.
        let fd = unsafe {
            let flags = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
            let raw = libc::socket(libc::AF_VSOCK, flags, 0);
            if raw < 0 {
                return Err(io::Error::last_os_error());
            }
            let fd = OwnedFd::from_raw_fd(raw);
            let mut address: libc::sockaddr_vm = mem::zeroed();
            address.svm_family = libc::AF_VSOCK as libc::sa_family_t;
            address.svm_cid = libc::VMADDR_CID_ANY;
            address.svm_port = port;
            let length = mem::size_of::<libc::sockaddr_vm>() as libc::socklen_t;
            if libc::bind(raw, (&raw const address).cast(), length) != 0 || libc::listen(raw, BACKLOG) != 0 {
                return Err(io::Error::last_os_error());
            }
            fd
        };
        Ok(Self { fd: watch(fd)? })
    }

    /// The next connection. Any peer other than the host (a process of the guest through a loopback transport) is
    /// turned away: only the host is the host.
    pub async fn accept(&self) -> io::Result<FdStream> {
        loop {
            let mut guard = self.fd.readable().await?;
            match self.try_accept() {
                Ok((stream, cid)) if cid == libc::VMADDR_CID_HOST => return FdStream::new(stream),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn try_accept(&self) -> io::Result<(OwnedFd, u32)> {
        // SAFETY: the address buffer is a sockaddr_vm and the length says so; the descriptor is checked.
        unsafe {
            let mut address: libc::sockaddr_vm = mem::zeroed();
            let mut length = mem::size_of::<libc::sockaddr_vm>() as libc::socklen_t;
            let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
            let raw = libc::accept4(self.fd.as_raw_fd(), (&raw mut address).cast(), &mut length, flags);
            if raw < 0 {
                return Err(io::Error::last_os_error());
            }
            Ok((OwnedFd::from_raw_fd(raw), address.svm_cid))
        }
    }
}

/// The connection was lost before it was taken, or resources are short for a moment.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ECONNABORTED | libc::ECONNRESET | libc::EINTR)
    )
}
