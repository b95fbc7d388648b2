//! mount_setattr, since Linux 5.12.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::io::Errno;

/// struct mount_attr.
#[repr(C)]
#[derive(Default)]
pub struct MountAttributes {
    pub set: u64,
    pub clear: u64,
    pub propagation: u64,
    /// A descriptor, for MOUNT_ATTR_IDMAP.
    pub user_namespace: u64,
}

/// @param all what is mounted below too
pub fn set_attributes(mount: &OwnedFd, all: bool, attributes: &MountAttributes) -> Result<(), Errno> {
    let flags = libc::AT_EMPTY_PATH | if all { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a C string and the attributes are readable for the length that is given.
    let result = unsafe {
        let (path, length) = (c"".as_ptr(), size_of::<MountAttributes>());
        let fd = mount.as_raw_fd();
        libc::syscall(libc::SYS_mount_setattr, fd, path, flags, attributes, length)
    };
    match result {
        0 => Ok(()),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}
