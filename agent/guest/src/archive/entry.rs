//! One file of an archive: its kind and what stands in its headers. Knows no format.

use std::ffi::CString;
use std::io;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    File,
    HardLink,
    Symlink,
    CharDevice,
    BlockDevice,
    Directory,
    Fifo,
}

impl Kind {
    const ALL: [(u8, Self); 7] = [
        (b'0', Self::File),
        (b'1', Self::HardLink),
        (b'2', Self::Symlink),
        (b'3', Self::CharDevice),
        (b'4', Self::BlockDevice),
        (b'5', Self::Directory),
        (b'6', Self::Fifo),
    ];

    /// Its letter in a header.
    pub fn flag(self) -> u8 {
        Self::ALL
            .iter()
            .find(|(_, kind)| *kind == self)
            .map_or(b'0', |(flag, _)| *flag)
    }

    pub fn of_flag(flag: u8) -> Option<Self> {
        match flag {
            // Old archives, and "contiguous" files: files.
            0 | b'7' => Some(Self::File),
            _ => Self::ALL
                .iter()
                .find(|(known, _)| *known == flag)
                .map(|(_, kind)| *kind),
        }
    }
}

/// One entry, without its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub path: Vec<u8>,
    /// Target of a link.
    pub link: Vec<u8>,
    pub kind: Kind,
    /// Permission bits, with setuid, setgid and sticky.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    pub mtime_ns: i128,
    pub device: (u32, u32),
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Entry {
    pub fn new(path: Vec<u8>, kind: Kind) -> Self {
        Self {
            path,
            kind,
            link: Vec::new(),
            mode: 0o644,
            uid: 0,
            gid: 0,
            size: 0,
            mtime_ns: 0,
            device: (0, 0),
            xattrs: Vec::new(),
        }
    }
}

/// Why an archive is refused.
pub fn bad(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the tar archive is broken: {what}"),
    )
}

/// A name as the kernel takes it.
pub fn c_string(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| bad("a name holds a NUL"))
}
