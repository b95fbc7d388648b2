//! A path of the root as a tar archive: every kind of file but sockets, with owners, times and attributes.

use std::collections::HashMap;
use std::ffi::CString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::entry::{Entry, Kind};
use super::source::{is_kernels_own, names_in, open_file, read_link, read_unsized, unless_gone};
use super::tar::{BLOCK, END};

const PIECE: usize = 64 << 10;
/// What is still to be packed: its path, its name in the archive, and what it was when it was looked at.
type Found = (PathBuf, Vec<u8>, Metadata);

/// Where an archive goes, and what it has so far.
pub struct Packer<W> {
    output: W,
    /// Files with several names, by device and inode: the name they were packed under.
    links: HashMap<(u64, u64), Vec<u8>>,
}

impl<W: Write> Packer<W> {
    pub fn new(output: W) -> Self {
        Self {
            output,
            links: HashMap::new(),
        }
    }

    /// Packs `path` and all below it under its base name ("." for the root).
    pub fn pack(mut self, path: &Path, follow_link: bool) -> io::Result<()> {
        let base = path
            .file_name()
            .map_or_else(|| b".".to_vec(), |name| name.as_bytes().to_vec());
        let metadata = if follow_link {
            fs::metadata(path)?
        } else {
            fs::symlink_metadata(path)?
        };
        let path = if follow_link {
            fs::canonicalize(path)?
        } else {
            path.to_path_buf()
        };
        // Files of the kernel say that they are empty, or a page, or larger than any disk.
        if metadata.is_file() && (metadata.len() == 0 || is_kernels_own(&path)) {
            self.unsized_file(&path, &base, &metadata)?;
        } else {
            self.tree(path, base, metadata)?;
        }
        self.output.write_all(&END)?;
        self.output.flush()
    }

    /// Walks with a stack of its own: a tree may be deeper than a thread's stack. What goes while it walks is left out, as
    /// tar does it; but for the root, which was asked for.
    fn tree(&mut self, path: PathBuf, name: Vec<u8>, metadata: Metadata) -> io::Result<()> {
        let root = self.node(&path, &name, &metadata)?;
        let mut stack = root.ok_or_else(|| named(&path, io::ErrorKind::NotFound.into()))?;
        while let Some((path, name, metadata)) = stack.pop() {
            if let Some(children) = self.node(&path, &name, &metadata)? {
                stack.extend(children);
            }
        }
        Ok(())
    }

    /// Packs one, and gives what is in it, the last one first. None where it has gone: the archive has nothing of it then.
    fn node(&mut self, path: &Path, name: &[u8], metadata: &Metadata) -> io::Result<Option<Vec<Found>>> {
        let named_here = |error| named(path, error);
        // Before its header, which a directory that has gone shall not have.
        let names = if metadata.is_dir() && !is_kernels_own(path) {
            match unless_gone(names_in(path)).map_err(named_here)? {
                Some(names) => names,
                None => return Ok(None),
            }
        } else {
            Vec::new()
        };
        if !self.one(path, name, metadata)? {
            return Ok(None);
        }
        let mut found = Vec::with_capacity(names.len());
        for entry in names {
            let child = path.join(&entry);
            let looked = unless_gone(fs::symlink_metadata(&child)).map_err(|error| named(&child, error))?;
            if let Some(metadata) = looked {
                found.push((child, [name, &b"/"[..], entry.as_bytes()].concat(), metadata));
            }
        }
        Ok(Some(found))
    }

    /// False where it has gone since it was looked at.
    fn one(&mut self, path: &Path, name: &[u8], metadata: &Metadata) -> io::Result<bool> {
        let kind = metadata.file_type();
        let kind = match () {
            () if kind.is_dir() => Kind::Directory,
            () if kind.is_symlink() => Kind::Symlink,
            () if kind.is_file() => Kind::File,
            () if kind.is_char_device() => Kind::CharDevice,
            () if kind.is_block_device() => Kind::BlockDevice,
            () if kind.is_fifo() => Kind::Fifo,
            // A socket is nothing without its process.
            () => return Ok(true),
        };
        let described = unless_gone(describe(path, name, kind, metadata));
        let Some(entry) = described.map_err(|error| named(path, error))? else {
            return Ok(false);
        };
        let inode = (metadata.dev(), metadata.ino());
        let has_names = kind != Kind::Directory && metadata.nlink() > 1;
        if let Some(first) = self.links.get(&inode).filter(|_| has_names) {
            let again = Entry {
                kind: Kind::HardLink,
                link: first.clone(),
                size: 0,
                xattrs: Vec::new(),
                ..entry
            };
            self.output.write_all(&again.encode())?;
            return Ok(true);
        }
        let file = if kind == Kind::File {
            match unless_gone(open_file(path)).map_err(|error| named(path, error))? {
                Some(file) => Some(file),
                None => return Ok(false),
            }
        } else {
            None
        };
        if has_names {
            self.links.insert(inode, entry.path.clone());
        }
        self.output.write_all(&entry.encode())?;
        if let Some(file) = file {
            self.data(file, entry.size).map_err(|error| named(path, error))?;
        }
        Ok(true)
    }

    /// Exactly `size` bytes, as the header says: a file that grows is cut. One that shrinks fails the archive: filled
    /// up, it would be a good copy of what never was.
    fn data(&mut self, mut file: File, size: u64) -> io::Result<()> {
        let mut buffer = vec![0; PIECE];
        let mut left = size;
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            let count = file.read(&mut buffer[..want])?;
            if count == 0 {
                let text = format!("it changed while it was read: {left} of its {size} bytes are gone");
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
            }
            self.output.write_all(&buffer[..count])?;
            left -= count as u64;
        }
        self.pad(size)
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let padding = size.wrapping_neg() % BLOCK as u64;
        self.output.write_all(&[0; BLOCK][..padding as usize])
    }

    fn unsized_file(&mut self, path: &Path, name: &[u8], metadata: &Metadata) -> io::Result<()> {
        let data = open_file(path).and_then(read_unsized)?;
        let mut entry = describe(path, name, Kind::File, metadata)?;
        entry.size = data.len() as u64;
        self.output.write_all(&entry.encode())?;
        self.output.write_all(&data)?;
        self.pad(entry.size)
    }
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn describe(path: &Path, name: &[u8], kind: Kind, metadata: &Metadata) -> io::Result<Entry> {
    let mut name = name.to_vec();
    if kind == Kind::Directory {
        name.push(b'/');
    }
    let link = if kind == Kind::Symlink {
        read_link(path)?
    } else {
        Vec::new()
    };
    let device = metadata.rdev();
    let is_device = matches!(kind, Kind::CharDevice | Kind::BlockDevice);
    Ok(Entry {
        link,
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
        size: if kind == Kind::File { metadata.len() } else { 0 },
        mtime_ns: i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()),
        device: if is_device {
            (rustix::fs::major(device), rustix::fs::minor(device))
        } else {
            (0, 0)
        },
        xattrs: xattrs(path, kind),
        ..Entry::new(name, kind)
    })
}

/// Attributes of files and directories, as far as the file system has any.
fn xattrs(path: &Path, kind: Kind) -> Vec<(Vec<u8>, Vec<u8>)> {
    if !matches!(kind, Kind::File | Kind::Directory) {
        return Vec::new();
    }
    let mut names = vec![0; 64 << 10];
    let Ok(count) = rustix::fs::llistxattr(path, &mut names[..]) else {
        return Vec::new();
    };
    names[..count]
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty())
        .filter_map(|name| {
            let mut value = vec![0; 64 << 10];
            let key = CString::new(name).ok()?;
            let count = rustix::fs::lgetxattr(path, key.as_c_str(), &mut value[..]).ok()?;
            value.truncate(count);
            Some((name.to_vec(), value))
        })
        .collect()
}

#[cfg(test)]
mod tests;
