//! Trees there and back, and archives that want out.

use super::*;
use crate::archive::pack::Packer;
use crate::archive::tar::{BLOCK, END};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

const PLAIN: Options = Options {
    keep_owner: true,
    no_overwrite_dir_non_dir: false,
    dress_directory: false,
};

/// A directory of this test's own, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("kiln-agent-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn make(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An entry as the user that runs the test may make it.
fn own(path: &str, kind: Kind) -> Entry {
    let (uid, gid) = (
        rustix::process::getuid().as_raw(),
        rustix::process::getgid().as_raw(),
    );
    Entry {
        uid,
        gid,
        ..Entry::new(path.as_bytes().to_vec(), kind)
    }
}

fn archive(entries: &[(Entry, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (entry, data) in entries {
        bytes.extend(
            Entry {
                size: data.len() as u64,
                ..entry.clone()
            }
            .encode(),
        );
        bytes.extend(*data);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    }
    bytes.extend(END);
    bytes
}

#[test]
fn a_tree_survives_the_way_out_and_in() {
    let scratch = Scratch::new("round");
    let from = scratch.make("from/tree/sub");
    fs::write(from.join("file"), b"text").unwrap();
    fs::set_permissions(from.join("file"), fs::Permissions::from_mode(0o751)).unwrap();
    fs::hard_link(from.join("file"), from.join("twin")).unwrap();
    symlink("/absolute/target", from.join("link")).unwrap();
    rustix::fs::mknodat(CWD, from.join("fifo"), FileType::Fifo, Mode::from(0o600), 0).unwrap();
    let mut bytes = Vec::new();
    Packer::new(&mut bytes)
        .pack(&scratch.0.join("from/tree"), false)
        .unwrap();
    let to = scratch.make("to");
    let unpacked = unpack(&bytes[..], &to, PLAIN).unwrap();
    assert_eq!(unpacked, Unpacked { entries: 6, bytes: 4 });
    let sub = to.join("tree/sub");
    assert_eq!(fs::read(sub.join("file")).unwrap(), b"text");
    let (before, after) = (
        from.join("file").metadata().unwrap(),
        sub.join("file").metadata().unwrap(),
    );
    assert_eq!(
        (before.mode(), before.modified().unwrap()),
        (after.mode(), after.modified().unwrap())
    );
    assert_eq!(after.ino(), sub.join("twin").metadata().unwrap().ino());
    assert_eq!(
        fs::read_link(sub.join("link")).unwrap(),
        Path::new("/absolute/target")
    );
    assert_eq!(
        from.metadata().unwrap().modified().unwrap(),
        sub.metadata().unwrap().modified().unwrap(),
        "a directory's time is set last"
    );
}

#[test]
fn nothing_leaves_the_directory() {
    let scratch = Scratch::new("escape");
    let (inside, outside) = (scratch.make("inside"), scratch.make("outside"));
    fs::write(outside.join("file"), b"safe").unwrap();
    let link = |target: &Path| Entry {
        link: target.as_os_str().as_bytes().to_vec(),
        ..own("way", Kind::Symlink)
    };
    let hard = Entry {
        link: b"way/file".to_vec(),
        ..own("twin", Kind::HardLink)
    };
    let attacks: Vec<Vec<(Entry, &[u8])>> = vec![
        vec![(own("../outside/file", Kind::File), b"x")],
        vec![(own("a/../../outside/file", Kind::File), b"x")],
        vec![(link(&outside), b""), (own("way/file", Kind::File), b"x")],
        vec![
            (link(Path::new("../outside")), b""),
            (own("way/file", Kind::File), b"x"),
        ],
        vec![(link(Path::new("../outside")), b""), (hard, b"")],
        vec![(link(&outside), b""), (own("way/new/sub", Kind::Directory), b"")],
    ];
    for attack in attacks {
        assert!(
            unpack(&archive(&attack)[..], &inside, PLAIN).is_err(),
            "{attack:?}"
        );
        assert_eq!(fs::read(outside.join("file")).unwrap(), b"safe");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    }
}

#[test]
fn an_absolute_name_lands_inside() {
    let scratch = Scratch::new("absolute");
    let bytes = archive(&[(own("/etc/thing", Kind::File), b"x")]);
    unpack(&bytes[..], &scratch.0, PLAIN).unwrap();
    assert_eq!(fs::read(scratch.0.join("etc/thing")).unwrap(), b"x");
}

#[test]
fn only_a_directory_goes_without_a_name() {
    let scratch = Scratch::new("nameless");
    for name in ["", "/", "./", "/."] {
        for kind in [Kind::File, Kind::Symlink, Kind::Fifo] {
            let bytes = archive(&[(own(name, kind), b"")]);
            let done = unpack(&bytes[..], &scratch.0, PLAIN);
            // An old way to write a directory.
            let is_directory = kind == Kind::File && name.ends_with('/');
            assert_eq!(done.is_ok(), is_directory, "{kind:?} {name:?}");
        }
        let bytes = archive(&[(own(name, Kind::Directory), b"")]);
        assert!(unpack(&bytes[..], &scratch.0, PLAIN).is_ok(), "{name:?}");
    }
}

#[test]
fn the_directory_itself_is_dressed_when_told_and_last() {
    let scratch = Scratch::new("dressed");
    let top = Entry {
        mode: 0o1750,
        ..own("./", Kind::Directory)
    };
    let bytes = archive(&[(top, b""), (own("./file", Kind::File), b"x")]);
    let told = Options {
        dress_directory: true,
        ..PLAIN
    };
    let before = fs::metadata(&scratch.0).unwrap();
    unpack(&bytes[..], &scratch.0, PLAIN).unwrap();
    assert_eq!(fs::metadata(&scratch.0).unwrap().mode(), before.mode());
    unpack(&bytes[..], &scratch.0, told).unwrap();
    let after = fs::metadata(&scratch.0).unwrap();
    assert_eq!((after.mode() & 0o7777, after.mtime()), (0o1750, 0));
}

#[test]
fn replaces_files_and_merges_directories() {
    let scratch = Scratch::new("merge");
    let old = scratch.make("d");
    fs::write(old.join("kept"), b"old").unwrap();
    symlink("kept", old.join("replaced")).unwrap();
    let directory = Entry {
        mode: 0o755,
        ..own("d", Kind::Directory)
    };
    let bytes = archive(&[(directory, b""), (own("d/replaced", Kind::File), b"new")]);
    unpack(&bytes[..], &scratch.0, PLAIN).unwrap();
    assert_eq!(fs::read(old.join("kept")).unwrap(), b"old");
    assert_eq!(fs::read(old.join("replaced")).unwrap(), b"new");
}

#[test]
fn keeps_directories_from_files_and_files_from_directories_when_told() {
    let scratch = Scratch::new("types");
    scratch.make("d");
    fs::write(scratch.0.join("f"), b"").unwrap();
    let told = Options {
        no_overwrite_dir_non_dir: true,
        ..PLAIN
    };
    for (entry, works) in [(own("d", Kind::File), false), (own("f", Kind::Directory), false)] {
        let bytes = archive(&[(entry.clone(), b"")]);
        assert_eq!(unpack(&bytes[..], &scratch.0, told).is_ok(), works);
        assert!(unpack(&bytes[..], &scratch.0, PLAIN).is_ok());
    }
}

#[test]
fn zeros_take_no_room() {
    let scratch = Scratch::new("sparse");
    let mut data = vec![0; (2 << 20) + 5000];
    data[70_000..70_010].fill(7);
    let ends = data.len() - 1;
    for last in [0, 9] {
        data[ends] = last;
        let bytes = archive(&[
            (own("holes", Kind::File), &data),
            (own("after", Kind::File), b"x"),
        ]);
        unpack(&bytes[..], &scratch.0, PLAIN).unwrap();
        let path = scratch.0.join("holes");
        assert!(
            fs::read(&path).unwrap() == data,
            "the same bytes, zeros at the end too"
        );
        let taken = path.metadata().unwrap().blocks() * 512;
        assert!(taken <= 64 << 10, "{taken} bytes on disk for two pages");
    }
    assert_eq!(fs::read(scratch.0.join("after")).unwrap(), b"x");
}

#[test]
fn says_which_entry_an_archive_broke_in() {
    let scratch = Scratch::new("cut");
    let bytes = archive(&[
        (own("good", Kind::File), b"x"),
        (own("cut", Kind::File), &[1; 2000]),
    ]);
    let error = unpack(&bytes[..2000], &scratch.0, PLAIN).unwrap_err();
    assert!(error.to_string().contains("ends inside a file"), "{error}");
    assert_eq!(fs::read(scratch.0.join("good")).unwrap(), b"x");
}
