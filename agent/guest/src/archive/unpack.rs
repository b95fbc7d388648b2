//! A tar archive into a directory, and nowhere else.
//!
//! Every parent is opened beneath the directory by the kernel (openat2), so that neither "..", nor an absolute name,
//! nor a symlink that the archive itself brought leads out. Under "/" absolute symlinks stay legal: they lead to "/".

use std::ffi::CString;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use super::attributes::{adorn, owner, times};
use super::directories::Directories;
use super::entry::{Entry, Kind, bad, c_string};
use super::sparse;
use super::tar::Reader;

/// What the host asked for.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Owners as in the archive; else root.
    pub keep_owner: bool,
    /// A directory is never replaced by something else, nor something else by a directory.
    pub no_overwrite_dir_non_dir: bool,
    /// The archive's entry for the directory itself gives it its owner, mode and times.
    pub dress_directory: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Unpacked {
    pub entries: u64,
    pub bytes: u64,
}

struct Unpacker {
    root: OwnedFd,
    resolve: ResolveFlags,
    options: Options,
    /// The parent of the last entry: archives come directory by directory.
    parent: Option<(Vec<Vec<u8>>, OwnedFd)>,
    /// Modes and times of directories, set when nothing is written into them any more.
    directories: Directories,
}

/// Unpacks everything into `directory`, which must exist.
pub fn unpack<R: Read>(input: R, directory: &Path, options: Options) -> io::Result<Unpacked> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(directory, flags, Mode::empty())?;
    let here = rustix::fs::fstat(&root)?;
    let top = rustix::fs::stat("/")?;
    let is_top = (here.st_dev, here.st_ino) == (top.st_dev, top.st_ino);
    let bound = if is_top {
        ResolveFlags::IN_ROOT
    } else {
        ResolveFlags::BENEATH
    };
    let resolve = bound | ResolveFlags::NO_MAGICLINKS;
    let mut unpacker = Unpacker {
        root,
        resolve,
        options,
        parent: None,
        directories: Directories::default(),
    };
    let mut reader = Reader::new(input);
    let mut unpacked = Unpacked::default();
    while let Some(entry) = reader.next()? {
        let done = unpacker.entry(&entry, &mut reader);
        unpacked.bytes += done.map_err(|error| named(&entry, error))?;
        unpacked.entries += 1;
    }
    let directories = unpacker.directories.take_all();
    unpacker.dress(directories)?;
    Ok(unpacked)
}

fn named(entry: &Entry, error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::InvalidData {
        return error;
    }
    let path = String::from_utf8_lossy(&entry.path).into_owned();
    let text = match error.raw_os_error() {
        Some(libc::EXDEV) => "a symlink on the way leads out of the directory".to_owned(),
        _ => error.to_string(),
    };
    io::Error::new(
        error.kind(),
        format!("unpack \"{}\": {text}", path.escape_debug()),
    )
}

/// The parts of a name; a leading slash is dropped, ".." refused.
fn parts(path: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    let mut parts = Vec::new();
    for part in path.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(bad("a name leads out of the directory by \"..\"")),
            part => parts.push(part.to_vec()),
        }
    }
    Ok(parts)
}

impl Unpacker {
    /// Gives the number of bytes of data.
    fn entry<R: Read>(&mut self, entry: &Entry, reader: &mut Reader<R>) -> io::Result<u64> {
        let mut parents = parts(&entry.path)?;
        let Some(last) = parents.pop() else {
            // The directory itself, which belongs to the guest unless told otherwise. Anything else would be lost without
            // a word.
            if entry.kind != Kind::Directory {
                return Err(bad("an entry that is no directory has no name"));
            }
            if self.options.dress_directory {
                self.dress_later(&[], entry)?;
            }
            return Ok(0);
        };
        let name = c_string(&last)?;
        self.enter(&parents)?;
        let Some((_, parent)) = &self.parent else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let there = match rustix::fs::statat(parent, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Some(FileType::from_raw_mode(stat.st_mode)),
            Err(Errno::NOENT) => None,
            Err(error) => return Err(error.into()),
        };
        if self.make_room(&name, there, entry.kind)? {
            self.create(&parents, &last, &name, entry, reader)
        } else {
            parents.push(last);
            self.dress_later(&parents, entry)?;
            Ok(0)
        }
    }

    /// Opens the parent directory, making what is missing of it.
    fn enter(&mut self, parents: &[Vec<u8>]) -> io::Result<()> {
        if self.parent.as_ref().is_some_and(|(known, _)| known == parents) {
            return Ok(());
        }
        let fd = match self.open(parents) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => {
                for depth in 1..=parents.len() {
                    match self.open(&parents[..depth]) {
                        Ok(_) => {}
                        Err(Errno::NOENT) => {
                            let above = self.open(&parents[..depth - 1])?;
                            rustix::fs::mkdirat(&above, c_string(&parents[depth - 1])?, Mode::from(0o755))?;
                        }
                        Err(error) => return Err(error.into()),
                    }
                }
                self.open(parents)?
            }
            Err(error) => return Err(error.into()),
        };
        self.parent = Some((parents.to_vec(), fd));
        Ok(())
    }

    fn open(&self, parts: &[Vec<u8>]) -> Result<OwnedFd, Errno> {
        let path = if parts.is_empty() {
            b".".to_vec()
        } else {
            parts.join(&b'/')
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat2(
            &self.root,
            CString::new(path).map_err(|_| Errno::INVAL)?,
            flags,
            Mode::empty(),
            self.resolve,
        )
    }

    /// Removes what stands in the way. False where a directory is there already and shall be.
    fn make_room(&self, name: &CString, there: Option<FileType>, wanted: Kind) -> io::Result<bool> {
        let Some((_, parent)) = &self.parent else {
            return Ok(true);
        };
        match (there, wanted == Kind::Directory) {
            (None, _) => Ok(true),
            (Some(FileType::Directory), true) => Ok(false),
            (Some(FileType::Directory), false) if self.options.no_overwrite_dir_non_dir => {
                let text = "it cannot replace a directory, being none";
                Err(io::Error::new(io::ErrorKind::IsADirectory, text))
            }
            (Some(_), true) if self.options.no_overwrite_dir_non_dir => {
                let text = "it cannot replace what is no directory, being one";
                Err(io::Error::new(io::ErrorKind::NotADirectory, text))
            }
            (Some(FileType::Directory), false) => {
                // The path through the descriptor: std removes a tree without following links out of it.
                let inside = format!("/proc/self/fd/{}", parent.as_raw_fd());
                std::fs::remove_dir_all(
                    Path::new(&inside).join(std::ffi::OsStr::from_bytes(name.as_bytes())),
                )?;
                Ok(true)
            }
            (Some(_), _) => {
                rustix::fs::unlinkat(parent, name, AtFlags::empty())?;
                Ok(true)
            }
        }
    }

    fn create<R: Read>(
        &mut self,
        parents: &[Vec<u8>],
        last: &[u8],
        name: &CString,
        entry: &Entry,
        reader: &mut Reader<R>,
    ) -> io::Result<u64> {
        let Some((_, parent)) = &self.parent else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let mut bytes = 0;
        match entry.kind {
            Kind::Directory => {
                rustix::fs::mkdirat(parent, name, Mode::from(0o700))?;
                self.dress_later(&[parents, &[last.to_vec()]].concat(), entry)?;
                return Ok(0);
            }
            Kind::HardLink => {
                let mut target = parts(&entry.link)?;
                let file = c_string(&target.pop().ok_or_else(|| bad("a link to nothing"))?)?;
                let above = self.open(&target)?;
                rustix::fs::linkat(&above, file, parent, name, AtFlags::empty())?;
                return Ok(0);
            }
            Kind::File => {
                let flags =
                    OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let file = rustix::fs::openat(parent, name, flags, Mode::from(0o600))?;
                sparse::write_data(&file, reader)?;
                bytes = entry.size;
                adorn(&file, entry, self.options.keep_owner)?;
                return Ok(bytes);
            }
            Kind::Symlink => rustix::fs::symlinkat(c_string(&entry.link)?, parent, name)?,
            Kind::Fifo => self.node(parent, name, FileType::Fifo, 0)?,
            Kind::CharDevice => self.node(parent, name, FileType::CharacterDevice, device(entry))?,
            Kind::BlockDevice => self.node(parent, name, FileType::BlockDevice, device(entry))?,
        }
        let (uid, gid) = owner(entry, self.options.keep_owner);
        rustix::fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        if entry.kind != Kind::Symlink {
            rustix::fs::chmodat(parent, name, Mode::from(entry.mode), AtFlags::empty())?;
        }
        rustix::fs::utimensat(parent, name, &times(entry), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(bytes)
    }

    fn node(&self, parent: &OwnedFd, name: &CString, kind: FileType, device: u64) -> io::Result<()> {
        Ok(rustix::fs::mknodat(
            parent,
            name,
            kind,
            Mode::from(0o600),
            device,
        )?)
    }

    fn dress_later(&mut self, parts: &[Vec<u8>], entry: &Entry) -> io::Result<()> {
        let path = parts.join(&b'/');
        self.directories.insert(path.clone(), entry.clone());
        if !self.directories.are_too_many() {
            return Ok(());
        }
        let others = self.directories.take_others(&path);
        self.dress(others)?;
        if self.directories.are_too_many() {
            return Err(bad(
                "the attributes of directories within each other are too large",
            ));
        }
        Ok(())
    }

    fn dress(&self, directories: Vec<(Vec<u8>, Entry)>) -> io::Result<()> {
        for (path, entry) in directories {
            let parts = parts(&path)?;
            let opened = self.open(&parts).and_then(|path| {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                rustix::fs::openat(
                    CWD,
                    format!("/proc/self/fd/{}", path.as_raw_fd()),
                    flags,
                    Mode::empty(),
                )
            });
            let done = opened
                .map_err(io::Error::from)
                .and_then(|fd| adorn(&fd, &entry, self.options.keep_owner));
            match done {
                // A later entry of the archive put something else in its place.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                done => done.map_err(|error| named(&entry, error))?,
            }
        }
        Ok(())
    }
}

fn device(entry: &Entry) -> u64 {
    rustix::fs::makedev(entry.device.0, entry.device.1)
}

#[cfg(test)]
mod tests;
