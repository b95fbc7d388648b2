//! What somebody may who owns nothing of it: nobody's modes count but those that are shown.

use std::fs::{self, File, Permissions};
use std::io::Result;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::calls::{CALLS, Call, Last, access, top, truncate};
use crate::refusals::deviation;
use crate::sys::{as_nobody, set_times};
use crate::{Case, Outcome, Told, same};

pub const CASES: &[Case] = &[
    (
        "others pass through no directory that is closed to them",
        closed_directory,
    ),
    (
        "others make and remove nothing where they may not write",
        closed_to_writers,
    ),
    (
        "others read and write no file that is closed to them",
        closed_file,
    ),
    ("others change no mode, owner or time of a file", not_theirs),
    (
        "others set the time of what they may write to now alone",
        now_alone,
    ),
    ("others remove nothing of a sticky directory", sticky),
    ("what others write loses its set-user-id", stripped),
    ("root writes what its mode forbids", root_writes),
    (
        "root passes through a directory that its mode closes",
        root_passes,
    ),
];

fn mode(name: &Path, mode: u32) -> Outcome {
    fs::set_permissions(name, Permissions::from_mode(mode)).told("chmod")
}

/// Each call on that name by nobody; all that said something else.
fn each(name: &Path, wanted: &[i32], calls: impl Fn(&Call) -> bool) -> Outcome {
    let mut odd = Vec::new();
    for call in CALLS.iter().filter(|call| calls(call)) {
        let outcome = as_nobody(|| (call.call)(name)).told("a child")?;
        odd.extend(deviation(call.name, outcome, wanted));
    }
    if odd.is_empty() {
        Ok(())
    } else {
        Err(odd.join("; "))
    }
}

fn closed_directory(place: &Path) -> Outcome {
    let top = top(place).told("top")?;
    fs::create_dir(top.join("closed")).told("mkdir")?;
    fs::write(top.join("closed/file"), "x").told("write")?;
    mode(&top.join("closed"), 0o700)?;
    each(&top.join("closed/file"), &[libc::EACCES], |_| true)
}

fn closed_to_writers(place: &Path) -> Outcome {
    let top = top(place).told("top")?;
    mode(&top, 0o755)?;
    mode(&top.join("beside"), 0o666)?;
    each(&top.join("new"), &[libc::EACCES, libc::EPERM], |call| {
        call.last == Last::Made
    })?;
    fs::create_dir(top.join("d")).told("mkdir")?;
    each(&top.join("d"), &[libc::EACCES, libc::ENOTDIR], |call| {
        call.name == "rmdir"
    })?;
    each(&top.join("beside"), &[libc::EACCES], |call| {
        call.name == "unlink"
    })
}

fn closed_file(place: &Path) -> Outcome {
    let top = top(place).told("top")?;
    let file = top.join("file");
    fs::write(&file, "x").told("write")?;
    mode(&file, 0o600)?;
    let opens = |call: &Call| call.name.starts_with("open to") && call.last != Last::Made;
    each(&file, &[libc::EACCES], |call| {
        opens(call) || call.name == "truncate" || call.name == "setxattr"
    })?;
    mode(&file, 0o604)?;
    each(&file, &[], |call| call.name == "open to read")?;
    let asked = as_nobody(|| access(&file, libc::W_OK)).told("a child")?;
    deviation("access", asked, &[libc::EACCES]).map_or(Ok(()), Err)
}

fn not_theirs(place: &Path) -> Outcome {
    let top = top(place).told("top")?;
    let file = top.join("file");
    fs::write(&file, "x").told("write")?;
    mode(&file, 0o644)?;
    let names = ["chmod", "chown", "lchown", "utimensat"];
    each(&file, &[libc::EPERM], |call| names.contains(&call.name))
}

fn now_alone(place: &Path) -> Outcome {
    let top = top(place).told("top")?;
    let file = top.join("file");
    fs::write(&file, "x").told("write")?;
    mode(&file, 0o666)?;
    set_times(&file, [(5, 0), (5, 0)]).told("utimensat")?;
    let now = (0, libc::UTIME_NOW);
    as_nobody(|| set_times(&file, [now, now]))
        .told("a child")?
        .told("now")?;
    same(fs::metadata(&file).told("stat")?.mtime() > 5, true)?;
    let omitted =
        as_nobody(|| set_times(&file, [(0, libc::UTIME_OMIT), (7, 0)])).told("a child")?;
    deviation("another time", omitted, &[libc::EPERM]).map_or(Ok(()), Err)
}

fn sticky(place: &Path) -> Outcome {
    let top = top(place).told("top")?;
    mode(&top, 0o1777)?;
    fs::create_dir(top.join("d")).told("mkdir")?;
    fs::write(top.join("f"), "x").told("write")?;
    each(&top.join("d"), &[libc::EPERM, libc::EACCES], |call| {
        call.name == "rmdir"
    })?;
    let takes = |call: &Call| call.name == "unlink" || call.name == "rename away";
    each(&top.join("f"), &[libc::EPERM, libc::EACCES], takes)?;
    mode(&top, 0o777)?;
    each(&top.join("f"), &[], |call| call.name == "unlink")
}

fn stripped(place: &Path) -> Outcome {
    let top = top(place).told("top")?;
    let file = top.join("file");
    fs::write(&file, "x").told("write")?;
    mode(&file, 0o4777)?;
    let write = || {
        fs::OpenOptions::new()
            .append(true)
            .open(&file)
            .and_then(|mut file| std::io::Write::write_all(&mut file, b"y"))
    };
    as_nobody(write).told("a child")?.told("write")?;
    same(fs::metadata(&file).told("stat")?.mode() & 0o7777, 0o777)
}

fn root_writes(place: &Path) -> Outcome {
    let top = top(place).told("top")?;
    let file = top.join("file");
    fs::write(&file, "x").told("write")?;
    mode(&file, 0o000)?;
    let outcome: Result<()> = File::open(&file).and(truncate(&file, 3));
    outcome.told("open")
}

fn root_passes(place: &Path) -> Outcome {
    let top = top(place).told("top")?;
    fs::create_dir(top.join("closed")).told("mkdir")?;
    fs::write(top.join("closed/file"), "x").told("write")?;
    mode(&top.join("closed"), 0o000)?;
    let found = fs::metadata(top.join("closed/file")).map(drop);
    mode(&top.join("closed"), 0o700)?;
    found.told("stat")
}
