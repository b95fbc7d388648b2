//! Directories as lists: many names, names that come and go meanwhile, those who wait for a change.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;

use crate::data::map;
use crate::{Case, Outcome, Told, same, watch};

/// More than fit in one answer of any server.
const MANY: usize = 3_000;

pub const CASES: &[Case] = &[
    ("each of many names is listed once", many),
    (
        "a list survives that what it lists is removed",
        removed_meanwhile,
    ),
    ("a deep path is walked", deep),
    ("inotify tells of changes made beside it", notified),
    (
        "a watched file is written, mapped and removed",
        watched_file,
    ),
];

fn many(place: &Path) -> Outcome {
    for index in 0..MANY {
        File::create(place.join(format!("file-{index}"))).told("create")?;
    }
    let mut listed = BTreeSet::new();
    for entry in fs::read_dir(place).told("readdir")? {
        let name = entry.told("readdir")?.file_name();
        if !listed.insert(name.clone()) {
            return Err(format!("{name:?} twice"));
        }
    }
    same(listed.len(), MANY)
}

fn removed_meanwhile(place: &Path) -> Outcome {
    for index in 0..MANY {
        File::create(place.join(format!("file-{index}"))).told("create")?;
    }
    for entry in fs::read_dir(place).told("readdir")? {
        fs::remove_file(entry.told("readdir")?.path()).told("unlink")?;
    }
    same(fs::read_dir(place).told("readdir")?.count(), 0)
}

fn deep(place: &Path) -> Outcome {
    let mut path = place.to_path_buf();
    for _ in 0..60 {
        path.push("a-directory-in-a-directory");
    }
    fs::create_dir_all(&path).told("mkdir")?;
    fs::write(path.join("file"), "deep").told("write")?;
    same(
        fs::read_to_string(path.join("file")).told("read")?.as_str(),
        "deep",
    )
}

fn notified(place: &Path) -> Outcome {
    let watcher = watch::watcher(libc::IN_NONBLOCK)?;
    watch::add(&watcher, place, libc::IN_CREATE | libc::IN_MODIFY)?;
    fs::write(place.join("new"), "x").told("write")?;
    heard(watcher)
}

fn heard(watcher: OwnedFd) -> Outcome {
    let length = File::from(watcher).read(&mut [0; 4096]).told("read")?;
    same(length > 0, true)
}

/// A file system that keeps the inode for the watch must keep nothing else of it.
fn watched_file(place: &Path) -> Outcome {
    let name = place.join("file");
    fs::write(&name, [b'.'; 4096]).told("write")?;
    let watcher = watch::watcher(libc::IN_NONBLOCK)?;
    watch::add(&watcher, &name, libc::IN_MODIFY | libc::IN_DELETE_SELF)?;
    let open = || OpenOptions::new().read(true).write(true).open(&name);
    for byte in *b"abc" {
        map(&open().told("open")?, libc::MAP_SHARED, |bytes| {
            bytes[7] = byte;
        })?;
        same(fs::read(&name).told("read")?[7], byte)?;
        fs::write(&name, [byte + 1; 4096]).told("write")?;
        map(&open().told("open")?, libc::MAP_PRIVATE, |bytes| {
            bytes[0] = bytes[7];
        })?;
        let mut seen = 0;
        map(&open().told("open")?, libc::MAP_SHARED, |bytes| {
            seen = bytes[7]
        })?;
        same(seen, byte + 1)?;
    }
    heard(watcher)?;
    let gone = watch::watcher(libc::IN_NONBLOCK)?;
    watch::add(&gone, &name, libc::IN_DELETE_SELF)?;
    fs::remove_file(&name).told("unlink")?;
    heard(gone)
}
