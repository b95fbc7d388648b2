//! Trees as an ordinary user can make them, and more where root runs this.

use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Timespec, Timestamps, XattrFlags};

use super::*;

struct Trees(PathBuf);

impl Trees {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("kiln-copy-{}-{name}", std::process::id()));
        fs::create_dir_all(path.join("from")).unwrap();
        fs::create_dir(path.join("into")).unwrap();
        Self(path)
    }

    fn original(&self, path: &str) -> PathBuf {
        self.0.join("from").join(path)
    }

    fn copied(&self, path: &str) -> PathBuf {
        self.0.join("into").join(path)
    }

    fn copy(&self) -> io::Result<()> {
        let open = |path: PathBuf| OwnedFd::from(File::open(path).unwrap());
        tree(open(self.original("")), &open(self.copied("")))
    }

    fn found(&self, path: &str) -> fs::Metadata {
        fs::symlink_metadata(self.copied(path)).unwrap()
    }
}

impl Drop for Trees {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn set_times(path: &Path, seconds: i64) {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: 123_456_789,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

#[test]
fn keeps_modes_times_links_and_names_that_are_no_text() {
    use std::os::unix::ffi::OsStrExt;
    let trees = Trees::new("plain");
    let odd = std::ffi::OsStr::from_bytes(b"\xff odd\n");
    fs::create_dir(trees.original("sub")).unwrap();
    fs::write(trees.original("sub/one"), "text").unwrap();
    fs::write(trees.original("").join(odd), "").unwrap();
    fs::hard_link(trees.original("sub/one"), trees.original("two")).unwrap();
    symlink("/etc/shadow", trees.original("away")).unwrap();
    set_mode(&trees.original("sub/one"), 0o4751);
    set_times(&trees.original("sub/one"), 1_000_000_000);
    set_times(&trees.original("away"), 1_100_000_000);
    set_mode(&trees.original("sub"), 0o1750);
    set_times(&trees.original("sub"), 1_200_000_000);
    set_times(&trees.original(""), 1_300_000_000);
    trees.copy().unwrap();

    let one = trees.found("sub/one");
    assert_eq!(
        (one.mode() & 0o7777, one.mtime(), one.mtime_nsec()),
        (0o4751, 1_000_000_000, 123_456_789)
    );
    assert_eq!((one.nlink(), one.ino()), (2, trees.found("two").ino()));
    assert_eq!(fs::read_to_string(trees.copied("two")).unwrap(), "text");
    assert_eq!(
        fs::read_link(trees.copied("away")).unwrap(),
        Path::new("/etc/shadow")
    );
    assert_eq!(trees.found("away").mtime(), 1_100_000_000);
    assert_eq!(
        (trees.found("sub").mode() & 0o7777, trees.found("sub").mtime()),
        (0o1750, 1_200_000_000)
    );
    assert_eq!(trees.found("").mtime(), 1_300_000_000);
    assert!(trees.copied("").join(odd).is_file());
}

#[test]
fn keeps_pipes_and_attributes_without_opening_anything() {
    let trees = Trees::new("odd");
    rustix::fs::mknodat(CWD, trees.original("pipe"), FileType::Fifo, Mode::from(0o622), 0).unwrap();
    fs::write(trees.original("file"), "").unwrap();
    let has_attributes = rustix::fs::setxattr(
        trees.original("file"),
        "user.kiln",
        b"\0value",
        XattrFlags::empty(),
    )
    .is_ok();
    trees.copy().unwrap();
    let pipe = trees.found("pipe");
    assert!(pipe.file_type().is_fifo());
    assert_eq!(pipe.mode(), trees.original("pipe").metadata().unwrap().mode());
    if has_attributes {
        let mut value = [0; 16];
        let length = rustix::fs::getxattr(trees.copied("file"), "user.kiln", &mut value).unwrap();
        assert_eq!(&value[..length], b"\0value");
    }
}

#[test]
fn keeps_owners_and_devices_where_root_copies() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not tested here: only root gives files away");
        return;
    }
    let trees = Trees::new("root");
    fs::write(trees.original("file"), "").unwrap();
    symlink("nothing", trees.original("link")).unwrap();
    for name in ["file", "link", ""] {
        std::os::unix::fs::lchown(trees.original(name), Some(1234), Some(5678)).unwrap();
    }
    set_mode(&trees.original("file"), 0o6755);
    let null = rustix::fs::makedev(1, 3);
    let device = rustix::fs::mknodat(
        CWD,
        trees.original("null"),
        FileType::CharacterDevice,
        Mode::from(0o666),
        null,
    );
    trees.copy().unwrap();
    for name in ["file", "link", ""] {
        assert_eq!(
            (trees.found(name).uid(), trees.found(name).gid()),
            (1234, 5678),
            "{name}"
        );
    }
    assert_eq!(
        trees.found("file").mode() & 0o7777,
        0o6755,
        "setuid outlives the change of owner"
    );
    if device.is_ok() {
        assert_eq!(trees.found("null").rdev(), null);
    }
}

#[test]
fn keeps_holes() {
    use std::os::unix::fs::FileExt;
    let trees = Trees::new("sparse");
    let size = 4 << 30;
    let file = File::create(trees.original("sparse")).unwrap();
    file.set_len(size).unwrap();
    file.write_all_at(b"middle", size / 2).unwrap();
    trees.copy().unwrap();
    let copied = trees.found("sparse");
    assert_eq!(copied.len(), size);
    assert!(copied.blocks() < 4096, "{} blocks", copied.blocks());
    let mut text = [0; 6];
    File::open(trees.copied("sparse"))
        .unwrap()
        .read_exact_at(&mut text, size / 2)
        .unwrap();
    assert_eq!(&text, b"middle");
}

#[test]
fn goes_deep_and_no_deeper_than_it_has_descriptors_for() {
    let trees = Trees::new("deep");
    let mut deepest = OwnedFd::from(File::open(trees.original("")).unwrap());
    let mut dig = |count: usize| {
        for _ in 0..count {
            rustix::fs::mkdirat(&deepest, "d", Mode::from(0o755)).unwrap();
            deepest = rustix::fs::openat(&deepest, "d", OFlags::RDONLY, Mode::empty()).unwrap();
        }
    };
    dig(300);
    trees.copy().unwrap();
    assert!(trees.copied(&"d/".repeat(300)).is_dir());
    dig(MAX_DEPTH - 300);
    fs::remove_dir_all(trees.copied("d")).unwrap();
    // Where the test's own limit comes first, that is what is told.
    let refused = trees.copy().unwrap_err().to_string();
    assert!(refused.starts_with("copy d/d/d/"), "{refused}");
}

#[test]
fn says_where_it_failed() {
    let trees = Trees::new("failed");
    fs::create_dir(trees.original("sub")).unwrap();
    fs::write(trees.original("sub/file"), "").unwrap();
    fs::create_dir(trees.copied("sub")).unwrap();
    let refused = trees.copy().unwrap_err().to_string();
    assert!(refused.starts_with("copy sub: File exists"), "{refused}");
}
