//! A place in which a mount is made ready, out of everybody's sight: below the guest's root, where only the agent's
//! descriptor leads.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, UnmountFlags, move_mount, open_tree, unmount};

use super::target::Kind;

pub struct Stage(OwnedFd);

/// A mount that is attached there; gone when dropped, but for what was cloned out of it.
pub struct Staged<'a> {
    mount: &'a OwnedFd,
}

impl Stage {
    /// `directory`: one that no path of the guest leads to, in its mount namespace all the same
    pub fn open(directory: &str) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = rustix::fs::open(directory, flags, Mode::empty());
        Ok(Self(open?))
    }

    /// A directory in it, by a name that holds for every process of the agent's.
    pub fn place(&self, name: &str) -> io::Result<PathBuf> {
        match rustix::fs::mkdirat(&self.0, name, Mode::from(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        let (process, directory) = (std::process::id(), self.0.as_raw_fd());
        Ok(PathBuf::from(format!("/proc/{process}/fd/{directory}/{name}")))
    }

    /// What is mounted at such a place, taken from there: without a place.
    pub fn take(&self, name: &str) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let there = rustix::fs::openat(&self.0, name, flags, Mode::empty())?;
        let mount = clone_of(&there)?;
        drop(there);
        let path = format!("/proc/self/fd/{}/{name}", self.0.as_raw_fd());
        unmount(path.as_str(), UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)?;
        rustix::fs::unlinkat(&self.0, name, AtFlags::REMOVEDIR)?;
        Ok(mount)
    }

    /// One at a time.
    pub fn attach<'a>(&self, mount: &'a OwnedFd) -> io::Result<Staged<'a>> {
        attach(mount, &self.0)?;
        Ok(Staged { mount })
    }
}

/// Puts a mount that has no place over what `target` holds.
pub fn attach(mount: &OwnedFd, target: &OwnedFd) -> io::Result<()> {
    let by_descriptors = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(mount, "", target, "", by_descriptors)?)
}

impl Staged<'_> {
    /// What lies at `subpath`: links are followed inside the mount, and whatever is missing is made a directory where that
    /// is asked for. Empty: the whole.
    pub fn find(&self, subpath: &str, make: bool) -> io::Result<OwnedFd> {
        match self.look(subpath) {
            Err(Errno::NOENT) if make => {}
            found => return Ok(found?),
        }
        let mut directory = self.look("")?;
        let ends = subpath.match_indices('/').map(|(end, _)| end);
        for end in ends.chain([subpath.len()]) {
            let (path, name) = (&subpath[..end], subpath[..end].rsplit('/').next().unwrap_or(""));
            directory = match self.look(path) {
                Err(Errno::NOENT) => {
                    rustix::fs::mkdirat(&directory, name, Mode::from(0o755))?;
                    self.look(path)?
                }
                found => found?,
            };
        }
        Ok(directory)
    }

    fn look(&self, path: &str) -> rustix::io::Result<OwnedFd> {
        let path = if path.is_empty() { "." } else { path };
        let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        rustix::fs::openat2(self.mount, path, flags, Mode::empty(), within)
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        let path = format!("/proc/self/fd/{}", self.mount.as_raw_fd());
        // The descriptor holds it: it goes with that.
        if let Err(error) = unmount(path.as_str(), UnmountFlags::DETACH) {
            crate::console::error(format_args!("a mount stays where it was made ready: {error}"));
        }
    }
}

/// A mount of what `place` holds, and of nothing that is mounted below it.
pub fn clone_of(place: &OwnedFd) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    Ok(open_tree(place, "", flags | OpenTreeFlags::AT_EMPTY_PATH)?)
}

/// What a source is; a device, a link or a pipe is none.
pub fn kind_of(place: &OwnedFd) -> io::Result<Kind> {
    use rustix::fs::FileType;
    match FileType::from_raw_mode(rustix::fs::fstat(place)?.st_mode) {
        FileType::Directory => Ok(Kind::Directory),
        FileType::RegularFile => Ok(Kind::File),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "what is to be mounted is neither a directory nor a file",
        )),
    }
}
