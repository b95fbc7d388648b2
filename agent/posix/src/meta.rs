//! What is known of files: modes, owners, times, attributes, the room that there is.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::sys::{checked, get_xattr, make_node, path, set_times, set_xattr};
use crate::{Case, Outcome, Told, same};

pub const CASES: &[Case] = &[
    ("a mode is kept", mode),
    ("times keep their nanoseconds", times),
    ("a write changes the time of a file", written_time),
    (
        "a new name changes the time of its directory",
        directory_time,
    ),
    ("user attributes are kept", attributes),
    ("statfs says how much room there is", room),
    (
        "an inode number is the same from one look to the next",
        inode,
    ),
    ("links of a directory are counted", directory_links),
    ("setuid bits are kept", setuid),
    ("a file is given to another user", owner),
    ("a character device is made", device),
];

fn made(place: &Path) -> Result<std::path::PathBuf, String> {
    let file = place.join("file");
    fs::write(&file, "x").told("write")?;
    Ok(file)
}

fn mode(place: &Path) -> Outcome {
    let file = made(place)?;
    for mode in [0o640, 0o444, 0o755, 0o600] {
        fs::set_permissions(&file, Permissions::from_mode(mode)).told("chmod")?;
        same(fs::metadata(&file).told("stat")?.mode() & 0o7777, mode)?;
    }
    Ok(())
}

fn times(place: &Path) -> Outcome {
    let file = made(place)?;
    for times in [
        [(1_000_000_000, 123_456_789), (1_700_000_000, 987_654_321)],
        [(1, 1), (2, 2)],
    ] {
        set_times(&file, times).told("utimensat")?;
        let meta = fs::metadata(&file).told("stat")?;
        same(
            [
                (meta.atime(), meta.atime_nsec()),
                (meta.mtime(), meta.mtime_nsec()),
            ],
            times,
        )?;
    }
    Ok(())
}

fn written_time(place: &Path) -> Outcome {
    let file = made(place)?;
    set_times(&file, [(5, 0), (5, 0)]).told("utimensat")?;
    OpenOptions::new()
        .append(true)
        .open(&file)
        .told("open")?
        .write_all(b"y")
        .told("write")?;
    same(fs::metadata(&file).told("stat")?.mtime() > 5, true)
}

fn directory_time(place: &Path) -> Outcome {
    set_times(place, [(5, 0), (5, 0)]).told("utimensat")?;
    File::create(place.join("new")).told("create")?;
    same(fs::metadata(place).told("stat")?.mtime() > 5, true)
}

fn attributes(place: &Path) -> Outcome {
    let file = made(place)?;
    set_xattr(&file, "user.kiln", b"fired\0clay").told("setxattr")?;
    same(
        get_xattr(&file, "user.kiln").told("getxattr")?,
        b"fired\0clay".to_vec(),
    )?;
    set_xattr(&file, "user.kiln", &[7; 1000]).told("again")?;
    same(
        get_xattr(&file, "user.kiln").told("getxattr")?,
        vec![7; 1000],
    )
}

fn room(place: &Path) -> Outcome {
    // SAFETY: all of it is numbers.
    let mut facts: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the name ends with a NUL, and the facts outlive the call.
    checked(unsafe { libc::statfs(path(place).as_ptr(), &raw mut facts) }.into()).told("statfs")?;
    same(
        (facts.f_blocks > 0, facts.f_bavail > 0, facts.f_namelen),
        (true, true, 255),
    )
}

fn inode(place: &Path) -> Outcome {
    let file = made(place)?;
    let look = || fs::metadata(&file).map(|meta| meta.ino()).told("stat");
    let first = look()?;
    let open = File::open(&file).told("open")?;
    same(open.metadata().told("fstat")?.ino(), first)?;
    fs::rename(&file, place.join("renamed")).told("rename")?;
    same(
        fs::metadata(place.join("renamed")).told("stat")?.ino(),
        first,
    )
}

fn directory_links(place: &Path) -> Outcome {
    let before = fs::metadata(place).told("stat")?.nlink();
    fs::create_dir(place.join("d")).told("mkdir")?;
    // File systems that count none say 1 for ever.
    let after = fs::metadata(place).told("stat")?.nlink();
    same(after == before + 1 || (before, after) == (1, 1), true)
}

fn setuid(place: &Path) -> Outcome {
    let file = made(place)?;
    fs::set_permissions(&file, Permissions::from_mode(0o4755)).told("chmod")?;
    same(fs::metadata(&file).told("stat")?.mode() & 0o7777, 0o4755)
}

fn owner(place: &Path) -> Outcome {
    let file = made(place)?;
    std::os::unix::fs::chown(&file, Some(1234), Some(1234)).told("chown")?;
    let meta = fs::metadata(&file).told("stat")?;
    same((meta.uid(), meta.gid()), (1234, 1234))
}

fn device(place: &Path) -> Outcome {
    make_node(&place.join("node"), libc::S_IFCHR).told("mknod")
}
