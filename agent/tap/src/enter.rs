//! Into the user and network namespace of a process: those that a user's networks are in, or one of root's that a card has for
//! itself.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd};
use std::os::unix::fs::MetadataExt;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// ioctl_ns(2)
const NS_GET_USERNS: libc::c_ulong = 0xb701;
const NS_GET_OWNER_UID: libc::c_ulong = 0xb704;

/// For good, so for a process that does nothing else. Refused where the namespaces are not this user's own, as those of
/// another process are that has the pid by now.
pub fn enter(pid: i32) -> io::Result<()> {
    let user = File::open(format!("/proc/{pid}/ns/user"))?;
    let net = File::open(format!("/proc/{pid}/ns/net"))?;
    if owner_of(&user)? != rustix::process::geteuid().as_raw() {
        return Err(refused("its namespaces are another user's"));
    }
    let (of_net, there) = (user_of(&net)?.metadata()?, user.metadata()?);
    if (of_net.dev(), of_net.ino()) != (there.dev(), there.ino()) {
        return Err(refused("it has no network namespace of its own"));
    }
    // A pid that is another program's by now: the host's own links must not be touched in place of the card's.
    if is_same(&net, "/proc/self/ns/net")? {
        return Err(refused("its network namespace is this one"));
    }
    // The kernel refuses the one where this is already.
    if !is_same(&user, "/proc/self/ns/user")? {
        move_into_link_name_space(user.as_fd(), Some(LinkNameSpaceType::User))?;
    }
    move_into_link_name_space(net.as_fd(), Some(LinkNameSpaceType::Network))?;
    Ok(())
}

fn is_same(namespace: &File, path: &str) -> io::Result<bool> {
    let (one, other) = (namespace.metadata()?, File::open(path)?.metadata()?);
    Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
}

fn owner_of(user_namespace: &File) -> io::Result<u32> {
    let mut uid: libc::uid_t = u32::MAX;
    // SAFETY: writes one uid_t.
    let result = unsafe { libc::ioctl(user_namespace.as_raw_fd(), NS_GET_OWNER_UID as _, &mut uid) };
    if result == 0 {
        Ok(uid)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The user namespace that owns another one.
fn user_of(namespace: &File) -> io::Result<File> {
    // SAFETY: takes nothing; what it returns is a new descriptor or -1.
    match unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_USERNS as _) } {
        // SAFETY: new, and nobody else's.
        fd if fd >= 0 => Ok(unsafe { File::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

fn refused(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}
