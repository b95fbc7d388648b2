//! A root of its own: the share and nothing else, without network, IPC and names of the host's.

use std::os::fd::OwnedFd;

use rustix::fs::{CWD, Mode, OFlags, open};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags};
use rustix::mount::{mount_change, move_mount, open_tree, unmount};
use rustix::process::{chdir, fchdir};
use rustix::thread::UnshareFlags;

use super::mount_attributes::{MountAttributes, set_attributes};
use super::users::unshare;

pub struct Jail {
    pub root: OwnedFd,
    /// This process's descriptors as a directory: the jail has no /proc.
    pub descriptors: OwnedFd,
}

const DESCRIPTORS: &str = "/proc/self/fd";

/// In a user namespace of its own already.
pub fn jail(root: &OwnedFd, read_only: bool) -> Result<Jail, Errno> {
    // A descriptor stays in the mount namespace that it came from; the working directory goes along.
    fchdir(root)?;
    let others = UnshareFlags::NEWIPC | UnshareFlags::NEWNET | UnshareFlags::NEWUTS;
    unshare(UnshareFlags::NEWNS | others)?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let descriptors = open_tree(CWD, DESCRIPTORS, clone)?;
    let share = open_tree(CWD, ".", clone | OpenTreeFlags::AT_RECURSIVE)?;
    restrict_mount(&share, read_only)?;
    let paths = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(&share, "", CWD, ".", paths)?;
    fchdir(&share)?;
    // The old root ends up on top of the new one, and goes.
    rustix::process::pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    chdir("/")?;
    let root = open(
        "/",
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    Ok(Jail { root, descriptors })
}

pub fn plain_descriptors() -> Result<OwnedFd, Errno> {
    open(
        DESCRIPTORS,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

/// No devices, no setuid; nothing to write where nothing shall be.
fn restrict_mount(mount: &OwnedFd, read_only: bool) -> Result<(), Errno> {
    let mut set = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
    if read_only {
        set |= libc::MOUNT_ATTR_RDONLY;
    }
    let attributes = MountAttributes {
        set,
        ..MountAttributes::default()
    };
    match set_attributes(mount, true, &attributes) {
        // Before 5.12: the server's own checks and Landlock are left.
        Err(Errno::NOSYS) => Ok(()),
        other => other,
    }
}
