//! Locks of parts of a file, and what becomes of locks.

use std::fs::{File, OpenOptions};
use std::io::Result;
use std::os::fd::AsRawFd;
use std::path::Path;

use crate::sys::{checked, flock, fork, in_child_coded, wait_for};
use crate::{Case, Outcome, Told, refused, same};

pub const CASES: &[Case] = &[
    ("locks of parts exclude one another where they meet", parts),
    ("a lock in the middle is taken out of a longer one", split),
    ("F_GETLK names who holds a lock", named),
    ("a lock that is waited for comes", waited),
    ("a read lock becomes a write lock and back", converted),
    (
        "closing any descriptor of a file ends its fcntl locks",
        closed,
    ),
    (
        "a lock needs a descriptor that may do the same",
        needs_access,
    ),
    ("flock is one of a descriptor and its copies", copies),
    ("flock that is waited for comes", flock_waited),
];

fn open(place: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(place.join("lock"))
}

fn ask(file: &File, command: i32, kind: i32, start: i64, length: i64) -> Result<libc::flock> {
    // SAFETY: all of it is numbers.
    let mut wanted: libc::flock = unsafe { std::mem::zeroed() };
    (wanted.l_type, wanted.l_whence) = (kind as i16, libc::SEEK_SET as i16);
    (wanted.l_start, wanted.l_len) = (start, length);
    // SAFETY: the lock outlives the call.
    checked(unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut wanted) }.into())
        .map(|_| wanted)
}

fn take(file: &File, kind: i32, start: i64, length: i64) -> Result<()> {
    ask(file, libc::F_SETLK, kind, start, length).map(drop)
}

/// Whether another process may take those parts to write to them.
fn free_for_another(place: &Path, parts: &[(i64, i64)]) -> std::result::Result<Vec<bool>, String> {
    let code = in_child_coded(|| {
        let taken = |file: &File, (at, length)| take(file, libc::F_WRLCK, at, length).is_ok();
        let bits = |file: File| {
            parts
                .iter()
                .fold(0, |bits, &part| bits << 1 | i32::from(taken(&file, part)))
        };
        open(place).map_or(255, bits)
    })
    .told("the other")?;
    Ok((0..parts.len())
        .rev()
        .map(|bit| code >> bit & 1 == 1)
        .collect())
}

fn parts(place: &Path) -> Outcome {
    let file = open(place).told("open")?;
    take(&file, libc::F_WRLCK, 10, 10).told("lock")?;
    take(&file, libc::F_WRLCK, 100, 0).told("to the end")?;
    let free = free_for_another(place, &[(0, 10), (0, 11), (19, 1), (20, 80), (1 << 40, 1)])?;
    same(free, vec![true, false, false, true, false])
}

fn split(place: &Path) -> Outcome {
    let file = open(place).told("open")?;
    take(&file, libc::F_WRLCK, 0, 100).told("lock")?;
    take(&file, libc::F_UNLCK, 40, 20).told("unlock")?;
    let free = free_for_another(place, &[(0, 40), (40, 20), (60, 40)])?;
    same(free, vec![false, true, false])
}

fn named(place: &Path) -> Outcome {
    let file = open(place).told("open")?;
    take(&file, libc::F_WRLCK, 5, 7).told("lock")?;
    let own = std::process::id();
    let code = in_child_coded(|| {
        let Ok(found) = open(place).and_then(|file| ask(&file, libc::F_GETLK, libc::F_RDLCK, 0, 0))
        else {
            return 1;
        };
        let facts = (
            i32::from(found.l_type),
            found.l_start,
            found.l_len,
            found.l_pid,
        );
        i32::from(facts != (libc::F_WRLCK, 5, 7, own as i32)) * 2
    });
    same(code.told("the other")?, 0)
}

fn waited(place: &Path) -> Outcome {
    let file = open(place).told("open")?;
    take(&file, libc::F_WRLCK, 0, 0).told("lock")?;
    let waits = || {
        open(place)
            .and_then(|file| ask(&file, libc::F_SETLKW, libc::F_WRLCK, 0, 0))
            .is_err()
    };
    let child = fork(|| i32::from(waits())).told("fork")?;
    take(&file, libc::F_UNLCK, 0, 0).told("unlock")?;
    same(wait_for(child).told("the other")?, 0)
}

fn converted(place: &Path) -> Outcome {
    let file = open(place).told("open")?;
    let reads = || {
        let taken = || open(place).and_then(|file| take(&file, libc::F_RDLCK, 0, 0));
        in_child_coded(|| i32::from(taken().is_ok())).told("the other")
    };
    for (kind, others_read) in [(libc::F_RDLCK, 1), (libc::F_WRLCK, 0), (libc::F_RDLCK, 1)] {
        take(&file, kind, 0, 0).told("lock")?;
        same(reads()?, others_read)?;
    }
    Ok(())
}

fn closed(place: &Path) -> Outcome {
    let file = open(place).told("open")?;
    take(&file, libc::F_WRLCK, 0, 0).told("lock")?;
    same(free_for_another(place, &[(0, 0)])?, vec![false])?;
    drop(open(place).told("another descriptor")?);
    same(free_for_another(place, &[(0, 0)])?, vec![true])
}

fn needs_access(place: &Path) -> Outcome {
    drop(open(place).told("open")?);
    let reads = File::open(place.join("lock")).told("open")?;
    refused(take(&reads, libc::F_WRLCK, 0, 0), libc::EBADF)?;
    let writes = OpenOptions::new()
        .write(true)
        .open(place.join("lock"))
        .told("open")?;
    refused(take(&writes, libc::F_RDLCK, 0, 0), libc::EBADF)
}

fn copies(place: &Path) -> Outcome {
    let file = open(place).told("open")?;
    let copy = file.try_clone().told("dup")?;
    flock(&file, libc::LOCK_EX).told("lock")?;
    flock(&copy, libc::LOCK_EX | libc::LOCK_NB).told("the copy")?;
    let another = open(place).told("open")?;
    refused(
        flock(&another, libc::LOCK_SH | libc::LOCK_NB),
        libc::EWOULDBLOCK,
    )?;
    drop(file);
    refused(
        flock(&another, libc::LOCK_SH | libc::LOCK_NB),
        libc::EWOULDBLOCK,
    )?;
    drop(copy);
    flock(&another, libc::LOCK_SH | libc::LOCK_NB).told("once all are closed")
}

fn flock_waited(place: &Path) -> Outcome {
    let file = open(place).told("open")?;
    flock(&file, libc::LOCK_EX).told("lock")?;
    let waits = || {
        open(place)
            .and_then(|file| flock(&file, libc::LOCK_EX))
            .is_err()
    };
    let child = fork(|| i32::from(waits())).told("fork")?;
    flock(&file, libc::LOCK_UN).told("unlock")?;
    same(wait_for(child).told("the other")?, 0)
}
