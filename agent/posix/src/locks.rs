//! Locks between processes, each of its three kinds.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::sys::{flock, in_child, lock};
use crate::{Case, Outcome, Told, same};

pub const CASES: &[Case] = &[
    ("fcntl locks exclude another process", posix_locks),
    ("locks of an open file exclude another one", open_file_locks),
    ("flock excludes another process", whole_file),
    ("flock is shared by readers", readers),
    ("a lock is gone with who held it", gone_with_holder),
];

fn open(place: &Path) -> Result<File, String> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(place.join("lock"))
        .told("open")
}

/// Takes a lock of each kind, on files of their own, says which it has, and keeps them until its input ends.
pub fn hold(place: &Path) -> Outcome {
    let open = |name: &str| {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        options.open(place.join(name)).told("open")
    };
    let (one, other) = (open("fcntl")?, open("flock")?);
    let told = |outcome: io::Result<()>| if outcome.is_ok() { "held" } else { "refused" };
    let fcntl = told(lock(&one, libc::F_WRLCK, libc::F_SETLK));
    let flock = told(flock(&other, libc::LOCK_EX | libc::LOCK_NB));
    println!("fcntl {fcntl} flock {flock}");
    io::copy(&mut io::stdin(), &mut io::sink())
        .map(drop)
        .told("wait")
}

/// Adds one to the number in a file, `times`, each under a lock that others wait for.
pub fn count(place: &Path, times: u64) -> Outcome {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false);
    let file = options.open(place.join("count")).told("open")?;
    for _ in 0..times {
        lock(&file, libc::F_WRLCK, libc::F_SETLKW).told("lock")?;
        let mut number = [0; 8];
        // The first finds nothing.
        let read = file.read_at(&mut number, 0).told("read")?;
        same(read == 0 || read == number.len(), true)?;
        let next = u64::from_le_bytes(number) + 1;
        file.write_all_at(&next.to_le_bytes(), 0).told("write")?;
        lock(&file, libc::F_UNLCK, libc::F_SETLK).told("unlock")?;
    }
    println!("counted");
    Ok(())
}

fn posix_locks(place: &Path) -> Outcome {
    let file = open(place)?;
    lock(&file, libc::F_WRLCK, libc::F_SETLK).told("lock")?;
    let other = in_child(|| {
        open(place).is_ok_and(|file| lock(&file, libc::F_WRLCK, libc::F_SETLK).is_err())
    });
    same(other.told("the other")?, true)?;
    lock(&file, libc::F_UNLCK, libc::F_SETLK).told("unlock")?;
    let after = in_child(|| {
        open(place).is_ok_and(|file| lock(&file, libc::F_WRLCK, libc::F_SETLK).is_ok())
    });
    same(after.told("the next")?, true)
}

fn open_file_locks(place: &Path) -> Outcome {
    let (one, other) = (open(place)?, open(place)?);
    lock(&one, libc::F_WRLCK, libc::F_OFD_SETLK).told("lock")?;
    same(
        lock(&other, libc::F_WRLCK, libc::F_OFD_SETLK).is_err(),
        true,
    )?;
    lock(&one, libc::F_UNLCK, libc::F_OFD_SETLK).told("unlock")?;
    lock(&other, libc::F_WRLCK, libc::F_OFD_SETLK).told("the next")
}

fn whole_file(place: &Path) -> Outcome {
    let file = open(place)?;
    flock(&file, libc::LOCK_EX).told("lock")?;
    let refused = in_child(|| {
        open(place).is_ok_and(|other| flock(&other, libc::LOCK_EX | libc::LOCK_NB).is_err())
    });
    same(refused.told("the other")?, true)?;
    flock(&file, libc::LOCK_UN).told("unlock")?;
    let after = in_child(|| {
        open(place).is_ok_and(|other| flock(&other, libc::LOCK_EX | libc::LOCK_NB).is_ok())
    });
    same(after.told("the next")?, true)
}

fn readers(place: &Path) -> Outcome {
    drop(open(place)?);
    let read = || File::open(place.join("lock")).told("open");
    let (one, other) = (read()?, read()?);
    flock(&one, libc::LOCK_SH).told("one")?;
    flock(&other, libc::LOCK_SH | libc::LOCK_NB).told("another")?;
    let writer = open(place)?;
    same(flock(&writer, libc::LOCK_EX | libc::LOCK_NB).is_err(), true)
}

fn gone_with_holder(place: &Path) -> Outcome {
    let held = in_child(|| {
        open(place).is_ok_and(|file| lock(&file, libc::F_WRLCK, libc::F_SETLK).is_ok())
    });
    same(held.told("the holder")?, true)?;
    lock(&open(place)?, libc::F_WRLCK, libc::F_SETLK).told("lock")
}
