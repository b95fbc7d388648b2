//! Mappings beside reads and writes of the same file: databases and linkers count on one being what the other is.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::sys::{fork, in_child_coded, wait_for};
use crate::{Case, Outcome, Told, same};

pub const CASES: &[Case] = &[
    ("what is written is seen in a mapping", written_then_mapped),
    (
        "what is stored in a mapping is read at once",
        mapped_then_read,
    ),
    (
        "what is written beside a store in a mapping is kept",
        mapped_and_written,
    ),
    ("two processes share one mapping", two_processes),
    ("a mapping outlives its descriptor and its name", outlives),
    ("a mapping is read beyond 4 GiB", far),
    (
        "what lies behind the end of a mapped file raises SIGBUS",
        behind_the_end,
    ),
];

const PAGE: usize = 4096;

struct Mapping(*mut u8);

impl Mapping {
    fn new(file: &File, offset: i64) -> Result<Self, String> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let (none, fd) = (std::ptr::null_mut(), file.as_raw_fd());
        // SAFETY: a new mapping of one page.
        let at = unsafe { libc::mmap(none, PAGE, access, libc::MAP_SHARED, fd, offset) };
        if at == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error()).told("mmap");
        }
        Ok(Self(at.cast()))
    }

    fn get(&self, index: usize) -> u8 {
        assert!(index < PAGE);
        // SAFETY: within the page; others may write to it meanwhile.
        unsafe { self.0.add(index).read_volatile() }
    }

    fn set(&self, index: usize, value: u8) {
        assert!(index < PAGE);
        // SAFETY: within the page, which is writable.
        unsafe { self.0.add(index).write_volatile(value) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the page is used no more.
        unsafe { libc::munmap(self.0.cast(), PAGE) };
    }
}

fn file(place: &Path) -> Result<File, String> {
    let mut options = OpenOptions::new();
    let open = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(place.join("file"));
    let file = open.told("open")?;
    file.write_all_at(&[b'.'; PAGE], 0).told("write")?;
    Ok(file)
}

fn written_then_mapped(place: &Path) -> Outcome {
    let file = file(place)?;
    let mapping = Mapping::new(&file, 0)?;
    same(mapping.get(5), b'.')?;
    file.write_all_at(b"!", 5).told("write")?;
    same(mapping.get(5), b'!')?;
    let other = OpenOptions::new()
        .write(true)
        .open(place.join("file"))
        .told("open")?;
    other.write_all_at(b"?", 5).told("write")?;
    same(mapping.get(5), b'?')
}

fn mapped_then_read(place: &Path) -> Outcome {
    let file = file(place)?;
    let mapping = Mapping::new(&file, 0)?;
    mapping.set(5, b'!');
    let mut read = [0];
    file.read_exact_at(&mut read, 5).told("read")?;
    same(read, *b"!")
}

/// Both are kept, whichever of them reaches the file first.
fn mapped_and_written(place: &Path) -> Outcome {
    let file = file(place)?;
    let mapping = Mapping::new(&file, 0)?;
    for round in 0..10 {
        let (stored, written) = (2 * round, 2 * round + 1);
        mapping.set(stored, b's');
        file.write_all_at(b"w", written as u64).told("write")?;
        same((mapping.get(stored), mapping.get(written)), (b's', b'w'))?;
    }
    drop(mapping);
    file.sync_all().told("sync")?;
    same(
        std::fs::read(place.join("file")).told("read")?[..20].to_vec(),
        b"sw".repeat(10),
    )
}

fn two_processes(place: &Path) -> Outcome {
    let file = file(place)?;
    let mapping = Mapping::new(&file, 0)?;
    let child = fork(|| {
        let Ok(own) = OpenOptions::new()
            .read(true)
            .write(true)
            .open(place.join("file"))
        else {
            return 1;
        };
        let Ok(own) = Mapping::new(&own, 0) else {
            return 2;
        };
        own.set(1, b'c');
        until(|| own.get(2) == b'p').map_or(3, |()| 0)
    });
    let child = child.told("fork")?;
    let heard = until(|| mapping.get(1) == b'c');
    mapping.set(2, b'p');
    let code = wait_for(child).told("the other")?;
    heard?;
    same(code, 0)
}

/// A bounded wait for another process's store.
fn until(seen: impl Fn() -> bool) -> Outcome {
    let since = std::time::Instant::now();
    while !seen() {
        if since.elapsed().as_secs() > 20 {
            return Err("a store was not seen by the other".into());
        }
        std::thread::yield_now();
    }
    Ok(())
}

fn outlives(place: &Path) -> Outcome {
    let name = place.join("file");
    let mapping = Mapping::new(&file(place)?, 0)?;
    std::fs::hard_link(&name, place.join("kept")).told("link")?;
    std::fs::remove_file(&name).told("unlink")?;
    mapping.set(7, b'!');
    drop(mapping);
    File::open(place.join("kept"))
        .told("open")?
        .sync_all()
        .told("sync")?;
    same(std::fs::read(place.join("kept")).told("read")?[7], b'!')
}

fn far(place: &Path) -> Outcome {
    let file = file(place)?;
    let at = 5 << 30;
    file.write_all_at(b"far", at).told("write")?;
    let mapping = Mapping::new(&file, at as i64)?;
    same([mapping.get(0), mapping.get(1), mapping.get(2)], *b"far")
}

fn behind_the_end(place: &Path) -> Outcome {
    let file = file(place)?;
    let code = in_child_coded(|| {
        let Ok(mapping) = Mapping::new(&file, PAGE as i64) else {
            return 1;
        };
        i32::from(mapping.get(0))
    });
    same(code.told("the other")?, -1)
}
