//! A tap of this network namespace. It goes with its last descriptor.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;

const TUN: &str = "/dev/net/tun";

/// Without a header (`struct virtio_net_hdr`) before each frame, nobody can have the kernel write a checksum behind the rules' back,
/// over a port that they have looked at; and no frame is larger than the link's.
///
/// @returns its descriptor, closed on exec. Refused where there is a link of that name.
pub fn open(name: &str, has_header: bool) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(TUN)
        .map_err(|error| io::Error::new(error.kind(), format!("{TUN}: {error}")))?;
    // SAFETY: an ifreq is plain bytes, and all zeros is one.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero.
    for (to, from) in request
        .ifr_name
        .iter_mut()
        .take(libc::IFNAMSIZ - 1)
        .zip(name.bytes())
    {
        *to = from as libc::c_char;
    }
    // EXCL: a persistent tap of that name, which somebody else has made, is not taken.
    let header = if has_header { libc::IFF_VNET_HDR } else { 0 };
    let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_TUN_EXCL | header;
    request.ifr_ifru.ifru_flags = flags as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes one ifreq.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF as _, &mut request) };
    if result == 0 {
        Ok(file)
    } else {
        Err(io::Error::last_os_error())
    }
}
