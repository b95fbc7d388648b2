//! Devices as they appear: the kernel says when something changes, so nothing here polls on a timer.

use std::fs;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::time::Duration;

use tokio::time::timeout;

use crate::process::io::FdStream;

/// The kernel's own events; only root could send others, and they would only wake us.
const KERNEL_EVENTS: u32 = 1;
/// An event may be lost when many come at once: then this looks again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Wake-ups whenever a device comes, goes or changes.
pub struct Uevents {
    socket: FdStream,
}

impl Uevents {
    pub fn open() -> io::Result<Self> {
        // SAFETY: plain system calls; the descriptor is checked before it is owned, the address is a sockaddr_nl.
        let fd = unsafe {
            let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
            let raw = libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_KOBJECT_UEVENT);
            if raw < 0 {
                return Err(io::Error::last_os_error());
            }
            let fd = OwnedFd::from_raw_fd(raw);
            let mut address: libc::sockaddr_nl = mem::zeroed();
            address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
            address.nl_groups = KERNEL_EVENTS;
            let length = mem::size_of::<libc::sockaddr_nl>() as libc::socklen_t;
            if libc::bind(fd.as_raw_fd(), (&raw const address).cast(), length) != 0 {
                return Err(io::Error::last_os_error());
            }
            fd
        };
        Ok(Self {
            socket: FdStream::new(fd)?,
        })
    }

    /// Waits for a change.
    pub async fn changed(&self) {
        let mut message = [0; 2048];
        // Overrun or time-out: look again all the same.
        let _ = timeout(LOOK_AGAIN, self.socket.read(&mut message)).await;
    }
}

pub fn is_block(path: &str) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_block_device())
}

/// virtio device ids (virtio specification, 5): what this machine has.
pub const VIRTIO_CONSOLE: &str = "0x0003";
pub const VIRTIO_SCSI: &str = "0x0008";
pub const VIRTIO_VSOCK: &str = "0x0013";

pub fn virtio_ids() -> Vec<String> {
    let Ok(devices) = fs::read_dir("/sys/bus/virtio/devices") else {
        return Vec::new();
    };
    devices
        .flatten()
        .filter_map(|device| fs::read_to_string(device.path().join("device")).ok())
        .map(|id| id.trim().to_owned())
        .collect()
}

pub fn has_vsock() -> bool {
    virtio_ids().iter().any(|id| id == VIRTIO_VSOCK)
}
