//! Whether what the guest holds is in the share still: the host may have moved it out since. In a jail the share is a
//! mount, and newer kernels' Landlock takes whatever was opened through a mount to be below it; so the server looks
//! itself. Without a jail Landlock sees it.

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2, readlinkat};
use rustix::io::Errno;

use crate::node::{Inode, Node};

/// Somebody on the host renames it again and again.
const TRIES: usize = 4;

/// @throws STALE where it is not: the guest's kernel then looks for the name again
pub fn check(root: &Node, node: &Node) -> Result<(), Errno> {
    if node.is_directory() {
        // The kernel finds no way up from a directory that has left its mount.
        match openat(node.fd(), "..", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
            Ok(_) => return Ok(()),
            Err(Errno::NOENT) => return Err(Errno::STALE),
            Err(_) => {} // it cannot be searched
        }
    }
    if node.stat()?.st_nlink == 0 {
        return Ok(()); // unlinked and held: it is nowhere else either
    }
    (0..TRIES)
        .find_map(|_| is_where_it_says(root, node).then_some(()))
        .ok_or(Errno::STALE)
}

/// A directory's path from the share's root, without a slash at either end; None where it is not below.
pub fn path_of(root: &Node, node: &Node) -> Option<Vec<u8>> {
    if node.inode == root.inode {
        return Some(Vec::new());
    }
    if node.stat().ok()?.st_nlink == 0 {
        return None; // its path says so, in words that may be a name
    }
    let path = |node: &Node| {
        readlinkat(CWD, node.link(), Vec::new())
            .ok()
            .map(|path| path.into_bytes())
    };
    let (root, mut path) = (path(root)?, path(node)?);
    let start = if root == b"/" { 1 } else { root.len() + 1 };
    let below = path.starts_with(&root) && path.get(start - 1) == Some(&b'/');
    below.then(|| path.split_off(start))
}

/// Its path, as the kernel knows it, leads to it from the share's root.
fn is_where_it_says(root: &Node, node: &Node) -> bool {
    let found = readlinkat(CWD, node.link(), Vec::new()).and_then(|path| {
        let relative = path.as_bytes().strip_prefix(b"/").ok_or(Errno::STALE)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        match openat2(root.fd(), relative, flags, Mode::empty(), resolve) {
            Err(Errno::NOSYS) => openat(root.fd(), relative, flags, Mode::empty()),
            other => other,
        }
    });
    found
        .and_then(|fd| rustix::fs::fstat(&fd))
        .is_ok_and(|stat| Inode::of(&stat) == node.inode)
}
