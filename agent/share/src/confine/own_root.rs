//! Root's own directories, served by somebody who is not root. An idmapped mount shows what is root's on disk as this
//! server's, and what the server makes is root's on disk: nobody has to be root for that but who makes the mount, which is
//! this process before it serves.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, MoveMountFlags, OpenTreeFlags};
use rustix::mount::{mount_change, move_mount, open_tree};
use rustix::process::fchdir;
use rustix::thread::UnshareFlags;

use super::mount_attributes::{MountAttributes, set_attributes};
use super::refused::Refused;
use super::users::unshare;

/// What lies at `root`, with root's files as `user`'s: in a mount namespace of this process's own, and nowhere else.
/// Only root can.
pub fn show(root: &OwnedFd, user: (u32, u32)) -> Result<OwnedFd, Refused> {
    let tree = clone(root, user)?;
    let place = || -> Result<(), Errno> {
        // A mount can be given attributes until it is somewhere, and be cloned once it is.
        fchdir(root)?;
        unshare(UnshareFlags::NEWNS)?;
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(&tree, "", rustix::fs::CWD, ".", flags)
    };
    place().map_err(|errno| Refused(format!("root's files cannot be shown as another user's: {errno}")))?;
    Ok(tree)
}

/// Whether it could be done: makes the mount, and lets go of it.
pub fn can_show(root: &OwnedFd, user: (u32, u32)) -> Result<(), Refused> {
    clone(root, user).map(drop)
}

fn clone(root: &OwnedFd, (uid, gid): (u32, u32)) -> Result<OwnedFd, Refused> {
    let failed = |what: &'static str| move |errno: Errno| Refused(format!("{what}: {errno}"));
    let map = owner_map(uid, gid).map_err(|error| Refused(format!("a map of root's files: {error}")))?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let all = flags | OpenTreeFlags::AT_EMPTY_PATH | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(root, "", all).map_err(failed("a mount of its own"))?;
    let plain = MountAttributes {
        set: libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV,
        propagation: libc::MS_PRIVATE,
        ..MountAttributes::default()
    };
    set_attributes(&tree, true, &plain).map_err(failed("a mount of its own"))?;
    let mapped = MountAttributes {
        set: libc::MOUNT_ATTR_IDMAP,
        user_namespace: map.as_raw_fd() as u64,
        ..MountAttributes::default()
    };
    match set_attributes(&tree, true, &mapped) {
        // What is mounted below may be of a file system that cannot: root's there stays root's, as it would without.
        Err(Errno::INVAL) => set_attributes(&tree, false, &mapped),
        other => other,
    }
    .map_err(failed("its file system, or this kernel, has no idmapped mounts"))?;
    Ok(tree)
}

/// All users as they are, but root as this one, who owns nothing by himself.
fn lines(id: u32) -> String {
    let above = id + 1;
    format!("0 {id} 1\n1 1 {}\n{above} {above} {}\n", id - 1, u32::MAX - above)
}

/// A user namespace with that map. It is a child that makes it: from inside one, this process could make no mount.
fn owner_map(uid: u32, gid: u32) -> std::io::Result<OwnedFd> {
    let (mut made, tell) = std::io::pipe()?;
    let (wait, go) = std::io::pipe()?;
    // SAFETY: this process has one thread: the child may do what it likes.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        return Err(std::io::Error::last_os_error());
    }
    if pid == 0 {
        drop((made, go));
        let told = unshare(UnshareFlags::NEWUSER).is_ok() && (&tell).write_all(&[1]).is_ok();
        // Until the other side has what it needs, or is no more.
        let _ = told && (&wait).read(&mut [0]).is_ok();
        // SAFETY: ends the child, and runs nothing of the parent's.
        unsafe { libc::_exit(0) }
    }
    drop((tell, wait));
    let namespace = made.read_exact(&mut [0]).and_then(|()| {
        fs::write(format!("/proc/{pid}/uid_map"), lines(uid))?;
        fs::write(format!("/proc/{pid}/gid_map"), lines(gid))?;
        File::open(format!("/proc/{pid}/ns/user"))
    });
    drop(go);
    // SAFETY: waits for the child of above, whose end comes: its pipe is closed.
    unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
    Ok(namespace?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_root_to_the_user_and_everybody_else_to_himself() {
        assert_eq!(
            lines(1_900_131_072),
            "0 1900131072 1\n1 1 1900131071\n1900131073 1900131073 2394836222\n"
        );
    }
}
