//! One inode of the share, held by an O_PATH descriptor: it names the inode whatever becomes of its name, and opens
//! nothing by itself. Everything that the kernel only does by path goes through the descriptor's own link below
//! /proc/self/fd, never through a name twice.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat, StatxFlags, openat, openat2, statx,
};
use rustix::io::Errno;

use crate::names;
use crate::wire::Qid;

/// Set once the working directory is /proc/self/fd for good: the confined server has no other /proc.
static IN_DESCRIPTORS: AtomicBool = AtomicBool::new(false);

pub fn descriptors_are_working_directory() {
    IN_DESCRIPTORS.store(true, Ordering::Relaxed);
}

/// A path that leads to exactly what a descriptor holds.
pub fn link_of(fd: &impl AsRawFd) -> String {
    let prefix = if IN_DESCRIPTORS.load(Ordering::Relaxed) {
        ""
    } else {
        "/proc/self/fd/"
    };
    format!("{prefix}{}", fd.as_raw_fd())
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Inode {
    pub dev: u64,
    pub ino: u64,
}

impl Inode {
    pub fn of(stat: &Stat) -> Self {
        Self {
            dev: stat.st_dev,
            ino: stat.st_ino,
        }
    }

    /// Distinct for every inode of the share; its plain number on the file system that the share begins on (`home`).
    pub fn path(self, home: u64) -> u64 {
        if self.dev == home {
            return self.ino;
        }
        // Other file systems are mounted below: spread them over the upper half.
        let spread = self.dev.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (self.ino ^ spread) | 1 << 63
    }
}

pub struct Node {
    fd: OwnedFd,
    pub kind: FileType,
    pub inode: Inode,
    /// Tells a file from one that had its number before, by when each was made. None where the file system does not know.
    pub generation: Option<u32>,
}

impl Node {
    /// @param fd O_PATH
    pub fn new(fd: OwnedFd) -> Result<Self, Errno> {
        let wanted = StatxFlags::TYPE | StatxFlags::INO | StatxFlags::BTIME;
        let stat = statx(&fd, "", AtFlags::EMPTY_PATH, wanted)?;
        let knows_birth = stat.stx_mask & StatxFlags::BTIME.bits() != 0;
        Ok(Self {
            fd,
            kind: FileType::from_raw_mode(stat.stx_mode.into()),
            inode: Inode {
                dev: rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor),
                ino: stat.stx_ino,
            },
            generation: knows_birth.then(|| generation(stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec)),
        })
    }

    /// What `name` is in this directory, itself: links are not followed, and no way leads out.
    pub fn child(&self, name: &[u8]) -> Result<Self, Errno> {
        names::check(name)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        // One checked component behind O_NOFOLLOW leads nowhere else: openat2 is the second line, where there is one.
        let fd = match openat2(&self.fd, name, flags, Mode::empty(), resolve) {
            Err(Errno::NOSYS) => openat(&self.fd, name, flags, Mode::empty())?,
            other => other?,
        };
        Self::new(fd)
    }

    /// The same inode as an open descriptor's.
    pub fn behind(file: &impl AsRawFd) -> Result<Self, Errno> {
        Self::new(openat(
            CWD,
            link_of(file),
            OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
        )?)
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.fd.as_fd()
    }

    /// See [`link_of`].
    pub fn link(&self) -> String {
        link_of(&self.fd)
    }

    pub fn stat(&self) -> Result<Stat, Errno> {
        rustix::fs::fstat(&self.fd)
    }

    /// A description of its own. Only files and directories: a device or a FIFO would do something. An inode never
    /// becomes another kind, so that the look is still true when it is opened.
    pub fn open(&self, flags: OFlags) -> Result<OwnedFd, Errno> {
        match self.kind {
            FileType::RegularFile | FileType::Directory => {}
            FileType::Symlink => return Err(Errno::LOOP),
            _ => return Err(Errno::PERM),
        }
        // Among /proc's are this process's own memory and all that the kernel lets a process do to itself.
        if flags.intersects(OFlags::RWMODE | OFlags::TRUNC)
            && rustix::fs::fstatfs(&self.fd)?.f_type == rustix::fs::PROC_SUPER_MAGIC
        {
            return Err(Errno::ACCESS);
        }
        let always = OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        openat(CWD, self.link(), flags | always, Mode::empty())
    }

    pub fn is_directory(&self) -> bool {
        self.kind == FileType::Directory
    }
}

/// Linux' 9p keeps 32 bits of it.
fn generation(seconds: i64, nanoseconds: u32) -> u32 {
    (seconds as u32)
        .wrapping_mul(1_000_000_007)
        .wrapping_add(nanoseconds)
}

pub fn qid_of(stat: &Stat, home: u64) -> Qid {
    let changed = stat.st_mtime_nsec ^ (stat.st_mtime as u64).rotate_left(20) ^ (stat.st_size as u64);
    Qid {
        kind: qid_kind(FileType::from_raw_mode(stat.st_mode)),
        version: changed as u32,
        path: Inode::of(stat).path(home),
    }
}

pub fn qid_kind(kind: FileType) -> u8 {
    match kind {
        FileType::Directory => 0x80,
        FileType::Symlink => 0x02,
        _ => 0,
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::{Path, PathBuf};

    /// A directory of the test's own, gone at its end.
    pub struct Scratch(pub PathBuf);

    impl Scratch {
        pub fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("kiln-share-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).expect("a directory can be made");
            Self(path)
        }

        pub fn node(&self) -> Node {
            node_at(&self.0)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    pub fn node_at(path: &Path) -> Node {
        let fd = openat(CWD, path, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty()).expect("it is there");
        Node::new(fd).expect("it can be looked at")
    }

    #[test]
    fn a_file_under_the_same_number_is_another_generation() {
        let scratch = Scratch::new("generation");
        let file = scratch.0.join("a");
        fs::write(&file, "x").expect("it can be written");
        let before = node_at(&file);
        fs::write(&file, "y").expect("it can be written");
        assert_eq!(node_at(&file).generation, before.generation);
        assert_eq!(before.inode, Inode::of(&before.stat().expect("it is there")));
        assert_ne!(generation(1, 0), generation(0, 1));
        assert_ne!(generation(1, 0), generation(1, 4_000_000));
    }

    #[test]
    fn a_child_is_the_link_and_not_its_target() {
        let scratch = Scratch::new("child");
        symlink("/etc/shadow", scratch.0.join("out")).expect("a link can be made");
        let child = scratch.node().child(b"out").expect("it is there");
        assert_eq!(child.kind, FileType::Symlink);
        assert_eq!(child.open(OFlags::RDONLY).err(), Some(Errno::LOOP));
    }

    #[test]
    fn a_link_is_no_directory_to_walk_through() {
        let scratch = Scratch::new("through");
        symlink("/etc", scratch.0.join("out")).expect("a link can be made");
        let link = scratch.node().child(b"out").expect("it is there");
        assert_eq!(link.child(b"passwd").err(), Some(Errno::NOTDIR));
    }

    #[test]
    fn opens_the_inode_that_it_holds_whatever_has_its_name() {
        let scratch = Scratch::new("holds");
        fs::write(scratch.0.join("a"), "first").expect("it can be written");
        let node = scratch.node().child(b"a").expect("it is there");
        fs::write(scratch.0.join("b"), "second").expect("it can be written");
        fs::rename(scratch.0.join("b"), scratch.0.join("a")).expect("it can be renamed");
        let mut text = String::new();
        use std::io::Read;
        fs::File::from(node.open(OFlags::RDONLY).expect("it opens"))
            .read_to_string(&mut text)
            .expect("it reads");
        assert_eq!(text, "first");
    }

    #[test]
    fn opens_nothing_of_a_process_to_write_to_it() {
        let node = node_at(Path::new(&format!("/proc/{}/comm", std::process::id())));
        assert_eq!(node.open(OFlags::RDWR).err(), Some(Errno::ACCESS));
        assert!(node.open(OFlags::RDONLY).is_ok());
    }

    #[test]
    fn opens_no_fifo() {
        let scratch = Scratch::new("fifo");
        rustix::fs::mknodat(CWD, scratch.0.join("f"), FileType::Fifo, Mode::RWXU, 0)
            .expect("a FIFO can be made");
        let node = scratch.node().child(b"f").expect("it is there");
        assert_eq!(node.open(OFlags::RDWR).err(), Some(Errno::PERM));
    }

    #[test]
    fn tells_inodes_of_two_file_systems_apart() {
        let (home, other) = (Inode { dev: 1, ino: 7 }, Inode { dev: 2, ino: 7 });
        assert_eq!(home.path(1), 7);
        assert_ne!(other.path(1), 7);
    }
}
