//! Which times a call moves, of a file and of the directory that it is in.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read, Result, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use crate::calls::truncate;
use crate::sys::{lchown, make_node, set_times, set_xattr};
use crate::{Case, Outcome, Told, same};

pub const CASES: &[Case] = &[
    ("what changes a file moves its ctime", file_changes),
    (
        "what makes or takes a name moves its directory's times",
        directory_changes,
    ),
    ("what fails moves no time", failures),
    ("a look moves no time", looks),
    ("a time before 1970 is kept", early_time),
    ("a time after 2106 is kept", late_times),
    ("one time is set and the other left", one_time),
    ("a link's own times are set", link_times),
];

type Stamp = (i64, i64);

fn ctime(name: &Path) -> Result<Stamp> {
    fs::symlink_metadata(name).map(|meta| (meta.ctime(), meta.ctime_nsec()))
}

fn mtime(name: &Path) -> Result<Stamp> {
    fs::symlink_metadata(name).map(|meta| (meta.mtime(), meta.mtime_nsec()))
}

/// Returns once the clock of the file system has gone on since then.
fn until_later(place: &Path, than: Stamp) -> Outcome {
    let probe = place.join("clock");
    loop {
        fs::write(&probe, "x").told("the clock")?;
        if ctime(&probe).told("the clock")? > than {
            return fs::remove_file(&probe).told("the clock");
        }
    }
}

type Change = (&'static str, fn(&Path) -> Result<()>);

const FILE_CHANGES: &[Change] = &[
    ("write", |file| {
        OpenOptions::new().append(true).open(file)?.write_all(b"y")
    }),
    ("truncate", |file| truncate(file, 100)),
    ("cut", |file| truncate(file, 1)),
    ("O_TRUNC", |file| {
        OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(file)
            .map(drop)
    }),
    ("chmod", |file| {
        fs::set_permissions(file, Permissions::from_mode(0o640))
    }),
    ("chown to its owner", |file| lchown(file, 0, 0)),
    ("utimensat", |file| set_times(file, [(7, 7), (7, 7)])),
    ("setxattr", |file| set_xattr(file, "user.a", b"1")),
    ("link", |file| {
        fs::hard_link(file, file.with_file_name("other"))
    }),
    ("unlink of another name", |file| {
        fs::remove_file(file.with_file_name("other"))
    }),
];

fn file_changes(place: &Path) -> Outcome {
    let file = place.join("file");
    fs::write(&file, "x").told("write")?;
    let mut odd = Vec::new();
    for (name, change) in FILE_CHANGES {
        let before = ctime(&file).told("stat")?;
        until_later(place, before)?;
        change(&file).told(name)?;
        if ctime(&file).told("stat")? <= before {
            odd.push(*name);
        }
    }
    same(odd, vec![])
}

const DIRECTORY_CHANGES: &[Change] = &[
    ("open to make", |top| {
        File::create(top.join("file")).map(drop)
    }),
    ("mkdir", |top| fs::create_dir(top.join("d"))),
    ("symlink", |top| symlink("x", top.join("s"))),
    ("mkfifo", |top| make_node(&top.join("p"), libc::S_IFIFO)),
    ("link", |top| fs::hard_link(top.join("file"), top.join("l"))),
    ("rename", |top| {
        fs::rename(top.join("file"), top.join("renamed"))
    }),
    ("unlink", |top| fs::remove_file(top.join("l"))),
    ("rmdir", |top| fs::remove_dir(top.join("d"))),
];

fn directory_changes(place: &Path) -> Outcome {
    let top = place.join("top");
    fs::create_dir(&top).told("mkdir")?;
    let mut odd = Vec::new();
    for (name, change) in DIRECTORY_CHANGES {
        let before = (ctime(&top).told("stat")?, mtime(&top).told("stat")?);
        until_later(place, before.0.max(before.1))?;
        change(&top).told(name)?;
        if ctime(&top).told("stat")? <= before.0 || mtime(&top).told("stat")? <= before.1 {
            odd.push(*name);
        }
    }
    same(odd, vec![])
}

fn failures(place: &Path) -> Outcome {
    let (top, file) = (place.join("top"), place.join("top/file"));
    fs::create_dir(&top).told("mkdir")?;
    fs::write(&file, "x").told("write")?;
    let stamps = || {
        Ok::<_, String>((
            ctime(&file).told("stat")?,
            ctime(&top).told("stat")?,
            mtime(&top).told("stat")?,
        ))
    };
    let before = stamps()?;
    until_later(place, before.0.max(before.1))?;
    same(fs::create_dir(&file).is_err(), true)?;
    same(fs::remove_dir(&file).is_err(), true)?;
    same(fs::hard_link(&file, &file).is_err(), true)?;
    same(symlink("x", &file).is_err(), true)?;
    same(fs::rename(top.join("missing"), &file).is_err(), true)?;
    same(truncate(&file, -1).is_err(), true)?;
    same(stamps()?, before)
}

fn looks(place: &Path) -> Outcome {
    let file = place.join("file");
    fs::write(&file, "x").told("write")?;
    let before = (mtime(&file).told("stat")?, ctime(&file).told("stat")?);
    until_later(place, before.1)?;
    let mut text = String::new();
    File::open(&file)
        .told("open")?
        .read_to_string(&mut text)
        .told("read")?;
    fs::read_dir(place).told("readdir")?.count();
    same(
        (mtime(&file).told("stat")?, ctime(&file).told("stat")?),
        before,
    )
}

fn early_time(place: &Path) -> Outcome {
    far_time(place, -86_400)
}

fn late_times(place: &Path) -> Outcome {
    far_time(place, 1 << 31)?;
    far_time(place, (1 << 32) + 5)
}

fn far_time(place: &Path, seconds: i64) -> Outcome {
    let file = place.join("file");
    fs::write(&file, "x").told("write")?;
    set_times(&file, [(seconds, 3), (seconds, 4)]).told("utimensat")?;
    same(mtime(&file).told("stat")?, (seconds, 4))
}

fn one_time(place: &Path) -> Outcome {
    let file = place.join("file");
    fs::write(&file, "x").told("write")?;
    set_times(&file, [(5, 5), (6, 6)]).told("utimensat")?;
    set_times(&file, [(0, libc::UTIME_OMIT), (8, 8)]).told("mtime alone")?;
    set_times(&file, [(9, 9), (0, libc::UTIME_OMIT)]).told("atime alone")?;
    let meta = fs::metadata(&file).told("stat")?;
    same(
        (
            (meta.atime(), meta.atime_nsec()),
            (meta.mtime(), meta.mtime_nsec()),
        ),
        ((9, 9), (8, 8)),
    )?;
    let odd = set_times(&file, [(1, 1_000_000_000), (1, 0)]);
    crate::refused(odd, libc::EINVAL)
}

fn link_times(place: &Path) -> Outcome {
    fs::write(place.join("file"), "x").told("write")?;
    symlink("file", place.join("link")).told("symlink")?;
    let before = mtime(&place.join("file")).told("stat")?;
    set_times(&place.join("link"), [(5, 5), (6, 6)]).told("utimensat")?;
    same(mtime(&place.join("link")).told("stat")?, (6, 6))?;
    same(mtime(&place.join("file")).told("stat")?, before)
}
