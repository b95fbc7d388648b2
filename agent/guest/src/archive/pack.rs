//! A path of the root as a tar archive: every kind of file but sockets, with owners, times and attributes.

use std::collections::HashMap;
use std::ffi::CString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::tar::{BLOCK, END, Entry, Kind};

const PIECE: usize = 64 << 10;
/// Files of the kernel say that they are empty; so much of one is read to see.
const MAX_UNSIZED: u64 = 4 << 20;
/// What holds no files of the root's own (linux/magic.h): proc, sysfs, cgroup2, devpts, mqueue, debugfs, tracefs,
/// securityfs, bpf, pstore, configfs, binfmt_misc, fusectl.
const KERNELS_OWN: [i64; 13] = [
    0x9fa0,
    0x6265_6572,
    0x6367_7270,
    0x1cd1,
    0x1980_0202,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0xcafe_4a11_u32 as i64,
    0x6165_676c,
    0x6265_6570,
    0x4249_4e4d,
    0x6573_5543,
];

/// Where a path begins in the archive, and what is there.
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
        if metadata.is_file() && metadata.len() == 0 {
            self.unsized_file(&path, &base, &metadata)?;
        } else {
            self.tree(path, base, metadata)?;
        }
        self.output.write_all(&END)?;
        self.output.flush()
    }

    /// Walks with a stack of its own: a tree may be deeper than a thread's stack.
    fn tree(&mut self, path: PathBuf, name: Vec<u8>, metadata: Metadata) -> io::Result<()> {
        let mut stack = vec![(path, name, metadata)];
        while let Some((path, name, metadata)) = stack.pop() {
            self.one(&path, &name, &metadata)?;
            if !metadata.is_dir() || is_kernels_own(&path) {
                continue;
            }
            let mut entries = Vec::new();
            for entry in fs::read_dir(&path)? {
                entries.push(entry?.file_name());
            }
            // The same tree gives the same archive; popped from the end, so the last comes first.
            entries.sort_by(|one, other| other.cmp(one));
            for entry in entries {
                let child = path.join(&entry);
                match fs::symlink_metadata(&child) {
                    Ok(metadata) => {
                        stack.push((child, [&name, &b"/"[..], entry.as_bytes()].concat(), metadata))
                    }
                    // Removed since: a running system's files come and go.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(named(&child, error)),
                }
            }
        }
        Ok(())
    }

    fn one(&mut self, path: &Path, name: &[u8], metadata: &Metadata) -> io::Result<()> {
        let kind = metadata.file_type();
        let kind = match () {
            () if kind.is_dir() => Kind::Directory,
            () if kind.is_symlink() => Kind::Symlink,
            () if kind.is_file() => Kind::File,
            () if kind.is_char_device() => Kind::CharDevice,
            () if kind.is_block_device() => Kind::BlockDevice,
            () if kind.is_fifo() => Kind::Fifo,
            // A socket is nothing without its process.
            () => return Ok(()),
        };
        let mut entry = describe(path, name, kind, metadata).map_err(|error| named(path, error))?;
        if kind != Kind::Directory && metadata.nlink() > 1 {
            if let Some(first) = self.links.get(&(metadata.dev(), metadata.ino())) {
                entry = Entry {
                    kind: Kind::HardLink,
                    link: first.clone(),
                    size: 0,
                    xattrs: Vec::new(),
                    ..entry
                };
                return self.output.write_all(&entry.encode());
            }
            self.links
                .insert((metadata.dev(), metadata.ino()), entry.path.clone());
        }
        if kind == Kind::File {
            let file = match File::open(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                opened => opened.map_err(|error| named(path, error))?,
            };
            self.output.write_all(&entry.encode())?;
            return self.data(file, entry.size).map_err(|error| named(path, error));
        }
        self.output.write_all(&entry.encode())
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
        let mut data = Vec::new();
        File::open(path)?.take(MAX_UNSIZED).read_to_end(&mut data)?;
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

fn is_kernels_own(path: &Path) -> bool {
    path == Path::new("/dev")
        || rustix::fs::statfs(path).is_ok_and(|system| KERNELS_OWN.contains(&system.f_type))
}

fn describe(path: &Path, name: &[u8], kind: Kind, metadata: &Metadata) -> io::Result<Entry> {
    let mut name = name.to_vec();
    if kind == Kind::Directory {
        name.push(b'/');
    }
    let link = if kind == Kind::Symlink {
        fs::read_link(path)?.into_os_string().into_vec()
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
mod tests {
    use super::*;

    #[test]
    fn a_file_that_shrinks_fails_the_archive_by_its_name() {
        let path = std::env::temp_dir().join(format!("kiln-shrinks-{}", std::process::id()));
        fs::write(&path, "0123456789").unwrap();
        let metadata = fs::symlink_metadata(&path).unwrap();
        fs::write(&path, "012").unwrap();
        let mut packer = Packer::new(Vec::new());
        let error = packer.one(&path, b"it", &metadata).unwrap_err();
        fs::remove_file(&path).unwrap();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        let text = error.to_string();
        assert!(text.contains(path.to_str().unwrap()), "{text}");
        assert!(text.ends_with("7 of its 10 bytes are gone"), "{text}");
    }
}
