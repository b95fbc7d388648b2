//! A whole tree into an empty directory: owners, modes, times, hard links, extended attributes, devices, holes. By
//! descriptors alone: what an image made of its links leads nowhere.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};

use super::attributes::{self, mode_of, owner, times};
use super::data;

/// Each costs two descriptors and two buffers while it is open.
const MAX_DEPTH: usize = 1000;
/// Names of files whose other names have not come yet.
const MOST_LINKS: usize = 32 << 20;
/// PATH_MAX, with its end.
const LONGEST_LINK: usize = 4095;

/// A directory under way.
struct Level {
    entries: Dir,
    from: OwnedFd,
    into: OwnedFd,
    stat: Stat,
    /// Of the path, before this one's name was added.
    path_length: usize,
}

/// Files of several names, by inode: the first name, below the tree's root, and how many are still to come.
#[derive(Default)]
struct Links {
    names: HashMap<u64, (CString, u64)>,
    held: usize,
}

/// Copies what is in `from`, and what it is itself, into `into`. An error says where it happened.
pub fn tree(from: OwnedFd, into: &OwnedFd) -> io::Result<()> {
    let root = rustix::io::dup(into)?;
    let mut path: Vec<u8> = Vec::new();
    let mut links = Links::default();
    let mut levels = vec![Level::new(from, rustix::io::dup(into)?, 0)?];
    let copied = (|| {
        while let Some(level) = levels.last_mut() {
            let Some(entry) = level.entries.read() else {
                // Only now: what is made inside changes a directory's times, and its mode may forbid it.
                attributes::adorn(&level.from, &level.into, &level.stat)?;
                path.truncate(level.path_length);
                levels.pop();
                continue;
            };
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let path_length = path.len();
            if path_length > 0 {
                path.push(b'/');
            }
            path.extend(name.to_bytes());
            if let Some((from, made)) = one(level, name, &root, &path, &mut links)? {
                levels.push(Level::new(from, made, path_length)?);
                if levels.len() > MAX_DEPTH {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidInput,
                        "directories lie too deep",
                    ));
                }
            } else {
                path.truncate(path_length);
            }
        }
        Ok(())
    })();
    copied.map_err(|error: io::Error| {
        let place = String::from_utf8_lossy(&path);
        let place = if place.is_empty() { ".".into() } else { place };
        io::Error::new(error.kind(), format!("copy {}: {error}", place.escape_debug()))
    })
}

impl Level {
    fn new(from: OwnedFd, into: OwnedFd, path_length: usize) -> io::Result<Self> {
        Ok(Self {
            entries: Dir::read_from(&from)?,
            stat: rustix::fs::fstat(&from)?,
            from,
            into,
            path_length,
        })
    }
}

/// Copies one entry; gives a directory, both ends of it, to go on in.
fn one(
    level: &Level,
    name: &CStr,
    root: &OwnedFd,
    path: &[u8],
    links: &mut Links,
) -> io::Result<Option<(OwnedFd, OwnedFd)>> {
    let (from, into) = (&level.from, &level.into);
    let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    if kind == FileType::Directory {
        rustix::fs::mkdirat(into, name, Mode::from(0o700))?;
        let open =
            |parent: &OwnedFd| rustix::fs::openat(parent, name, flags | OFlags::DIRECTORY, Mode::empty());
        return Ok(Some((open(from)?, open(into)?)));
    }
    if stat.st_nlink > 1 && links.link(&stat, root, into, name)? {
        return Ok(None);
    }
    match kind {
        FileType::RegularFile => {
            // Without waiting: a running guest may have put a FIFO there since.
            let source = rustix::fs::openat(from, name, flags | OFlags::NONBLOCK, Mode::empty())?;
            let make = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let made = rustix::fs::openat(into, name, make, Mode::from(0o600))?;
            data::copy(&source, &made)?;
            attributes::adorn(&source, &made, &stat)?;
        }
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(from, name, Vec::new())?;
            rustix::fs::symlinkat(&target, into, name)?;
            nameless(from, into, name, &stat)?;
        }
        other => {
            // A socket of a program that has long ended, too: Docker keeps it.
            rustix::fs::mknodat(into, name, other, Mode::from(0o600), stat.st_rdev)?;
            nameless(from, into, name, &stat)?;
            rustix::fs::chmodat(into, name, mode_of(&stat), AtFlags::empty())?;
            // A change of mode is none of its time, but one of its owner is: this comes last.
            rustix::fs::utimensat(into, name, &times(&stat), AtFlags::SYMLINK_NOFOLLOW)?;
        }
    }
    if stat.st_nlink > 1 {
        links.remember(&stat, path)?;
    }
    Ok(None)
}

/// What can't be opened gets what it has by its name.
fn nameless(from: impl AsFd, into: impl AsFd, name: &CStr, stat: &Stat) -> io::Result<()> {
    let (uid, gid) = owner(stat);
    rustix::fs::chownat(&into, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    attributes::copy_by_name(&from, &into, name)?;
    Ok(rustix::fs::utimensat(
        &into,
        name,
        &times(stat),
        AtFlags::SYMLINK_NOFOLLOW,
    )?)
}

impl Links {
    /// Gives a file that was copied before its other name; false where it was not.
    fn link(&mut self, stat: &Stat, root: &OwnedFd, into: &OwnedFd, name: &CStr) -> io::Result<bool> {
        let Some((first, left)) = self.names.get_mut(&stat.st_ino) else {
            return Ok(false);
        };
        rustix::fs::linkat(root, first.as_c_str(), into, name, AtFlags::empty())?;
        *left -= 1;
        if *left == 0 {
            self.held -= cost(first);
            self.names.remove(&stat.st_ino);
        }
        Ok(true)
    }

    fn remember(&mut self, stat: &Stat, path: &[u8]) -> io::Result<()> {
        if path.len() > LONGEST_LINK {
            // No call takes such a path: each name becomes a file of its own.
            return Ok(());
        }
        let path = CString::new(path).map_err(|_| io::ErrorKind::InvalidData)?;
        self.held += cost(&path);
        if self.held > MOST_LINKS {
            let text = "more files of several names than the guest can keep in mind";
            return Err(io::Error::new(io::ErrorKind::OutOfMemory, text));
        }
        self.names.insert(stat.st_ino, (path, stat.st_nlink - 1));
        Ok(())
    }
}

fn cost(path: &CStr) -> usize {
    path.count_bytes() + 96
}

#[cfg(test)]
mod tests;
