//! Directories as lists: many names, names that come and go meanwhile, those who wait for a change.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;

use crate::sys::{checked, path};
use crate::{Case, Outcome, Told, same};

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
    // SAFETY: no memory is passed.
    let watcher =
        checked(unsafe { libc::inotify_init1(libc::IN_NONBLOCK) }.into()).told("inotify")?;
    let watcher = i32::try_from(watcher).map_err(|_| "no descriptor")?;
    // SAFETY: the name ends with a NUL.
    let watch = unsafe {
        libc::inotify_add_watch(
            watcher,
            path(place).as_ptr(),
            libc::IN_CREATE | libc::IN_MODIFY,
        )
    };
    checked(watch.into()).told("watch")?;
    fs::write(place.join("new"), "x").told("write")?;
    let mut events = [0u8; 4096];
    // SAFETY: the buffer is as long as is said.
    let length = unsafe { libc::read(watcher, events.as_mut_ptr().cast(), events.len()) };
    same(checked(length as i64).told("read")? > 0, true)
}
