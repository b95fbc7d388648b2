//! `--watch PATH...`: says what inotify tells of each, until it is killed. `--mapped FILE`: what a mapping of it holds.

use std::ffi::{CStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use crate::sys::{checked, path};
use crate::{Outcome, Told};

/// What a line can say.
const WORDS: &[(u32, &str)] = &[
    (libc::IN_MODIFY, "modify"),
    (libc::IN_ATTRIB, "attrib"),
    (libc::IN_CREATE, "create"),
    (libc::IN_DELETE, "delete"),
    (libc::IN_DELETE_SELF, "delete-self"),
    (libc::IN_MOVED_FROM, "moved-from"),
    (libc::IN_MOVED_TO, "moved-to"),
    (libc::IN_IGNORED, "ignored"),
    (libc::IN_Q_OVERFLOW, "overflow"),
];
const HEADER: usize = size_of::<libc::inotify_event>();

/// A new inotify. `flags` of inotify_init1(2).
pub fn watcher(flags: i32) -> Result<OwnedFd, String> {
    // SAFETY: no memory is passed.
    let fd = unsafe { libc::inotify_init1(flags) };
    checked(fd.into()).told("inotify")?;
    // SAFETY: it was just made, and is nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Its number.
pub fn add(watcher: &OwnedFd, place: &Path, mask: u32) -> Result<i32, String> {
    // SAFETY: the name ends with a NUL.
    let watch = unsafe { libc::inotify_add_watch(watcher.as_raw_fd(), path(place).as_ptr(), mask) };
    checked(watch.into()).told("watch")?;
    Ok(watch)
}

/// One line for each event: `PATH WORD NAME`. The first line says that all are watched.
pub fn watch(places: &[OsString]) -> Outcome {
    let watcher = watcher(libc::IN_CLOEXEC)?;
    let mask = WORDS.iter().fold(0, |all, (bit, _)| all | bit);
    let mut watched = Vec::new();
    for place in places.iter().map(Path::new) {
        watched.push((add(&watcher, place, mask & libc::IN_ALL_EVENTS)?, place));
    }
    println!("watching");
    let mut events = File::from(watcher);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = events.read(&mut buffer).told("read")?;
        let mut rest = &buffer[..length];
        while let Some((header, after)) = rest.split_at_checked(HEADER) {
            let number =
                |at: usize| u32::from_ne_bytes(header[at..at + 4].try_into().unwrap_or_default());
            let (name, next) = after.split_at(number(12) as usize);
            let name = CStr::from_bytes_until_nul(name).unwrap_or_default();
            let place = watched
                .iter()
                .find(|(watch, _)| watch.cast_unsigned() == number(0));
            let place = place.map_or(Path::new("?"), |(_, place)| place);
            for (_, word) in WORDS.iter().filter(|(bit, _)| number(4) & bit != 0) {
                println!("{} {word} {}", place.display(), name.to_string_lossy());
            }
            rest = next;
        }
    }
}

/// Prints what a new mapping of the file holds.
pub fn mapped(place: &Path) -> Outcome {
    let file = File::open(place).told("open")?;
    let length = file.metadata().told("stat")?.len() as usize;
    // SAFETY: a new mapping.
    let at = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            length,
            libc::PROT_READ,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        )
    };
    if at == libc::MAP_FAILED {
        return Err(std::io::Error::last_os_error()).told("mmap");
    }
    // SAFETY: the mapping is that long, and stays.
    let bytes = unsafe { std::slice::from_raw_parts(at.cast(), length) };
    print!("{}", String::from_utf8_lossy(bytes));
    Ok(())
}
