//! What is in files: written, read, cut, mapped.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::sys::checked;
use crate::{Case, Outcome, Told, refused, same};

pub const CASES: &[Case] = &[
    ("appends of two descriptors follow one another", append),
    ("O_EXCL refuses what is there", exclusive),
    ("O_TRUNC and ftruncate cut and extend", truncate),
    ("a file is written beyond 4 GiB", big),
    ("holes of a sparse file are zeros and take no room", sparse),
    ("a shared mapping writes into the file", shared_mapping),
    ("a private mapping does not", private_mapping),
    ("a read-only file can be made and written", read_only_made),
    ("a file is written while it is read by another", two_at_once),
    ("copy_file_range copies", copied),
    ("O_DIRECT reads and writes", direct),
    ("fsync and fdatasync answer", synced),
    ("fallocate takes room", allocated),
];

fn file(place: &Path) -> Result<File, String> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(place.join("file"))
        .told("open")
}

fn append(place: &Path) -> Outcome {
    let open = || {
        OpenOptions::new()
            .append(true)
            .create(true)
            .open(place.join("log"))
            .told("open")
    };
    let (mut one, mut other) = (open()?, open()?);
    for round in 0..50 {
        writeln!(one, "a{round}").told("append")?;
        writeln!(other, "b{round}").told("append")?;
    }
    let wanted: String = (0..50)
        .map(|round| format!("a{round}\nb{round}\n"))
        .collect();
    same(fs::read_to_string(place.join("log")).told("read")?, wanted)
}

fn exclusive(place: &Path) -> Outcome {
    let open = || {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(place.join("lock"))
    };
    open().told("the first")?;
    refused(open(), libc::EEXIST)
}

fn truncate(place: &Path) -> Outcome {
    let mut file = file(place)?;
    file.write_all(b"0123456789").told("write")?;
    file.set_len(4).told("cut")?;
    file.set_len(8).told("extend")?;
    same(
        fs::read(place.join("file")).told("read")?,
        b"0123\0\0\0\0".to_vec(),
    )?;
    OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(place.join("file"))
        .told("O_TRUNC")?;
    same(file.metadata().told("stat")?.len(), 0)
}

fn big(place: &Path) -> Outcome {
    let file = file(place)?;
    let at = (4 << 30) + 5;
    file.write_all_at(b"beyond", at).told("write")?;
    let mut read = [0; 6];
    file.read_exact_at(&mut read, at).told("read")?;
    same(&read, b"beyond")?;
    same(fs::metadata(place.join("file")).told("stat")?.len(), at + 6)
}

fn sparse(place: &Path) -> Outcome {
    let file = file(place)?;
    file.write_all_at(b"x", 64 << 20).told("write")?;
    file.sync_all().told("sync")?;
    let mut read = [1; 4096];
    file.read_exact_at(&mut read, 32 << 20).told("read")?;
    same(read.iter().all(|&byte| byte == 0), true)?;
    same(file.metadata().told("stat")?.blocks() * 512 < 1 << 20, true)
}

fn shared_mapping(place: &Path) -> Outcome {
    let file = file(place)?;
    file.write_all_at(&[b'.'; 4096], 0).told("write")?;
    map(&file, libc::MAP_SHARED, |bytes| bytes[7] = b'!')?;
    same(fs::read(place.join("file")).told("read")?[7], b'!')
}

fn private_mapping(place: &Path) -> Outcome {
    let file = file(place)?;
    file.write_all_at(&[b'.'; 4096], 0).told("write")?;
    map(&file, libc::MAP_PRIVATE, |bytes| bytes[7] = b'!')?;
    same(fs::read(place.join("file")).told("read")?[7], b'.')
}

/// A writable mapping of the first page, written back before this returns.
pub fn map(file: &File, kind: i32, body: impl FnOnce(&mut [u8])) -> Outcome {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping, of a file that is a page long.
    let at = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            4096,
            access,
            kind,
            file.as_raw_fd(),
            0,
        )
    };
    if at == libc::MAP_FAILED {
        return Err(std::io::Error::last_os_error()).told("mmap");
    }
    // SAFETY: the mapping is that long, writable, and nobody else's.
    body(unsafe { std::slice::from_raw_parts_mut(at.cast(), 4096) });
    // SAFETY: the mapping above, used no more after it.
    let outcome = unsafe { libc::msync(at, 4096, libc::MS_SYNC) | libc::munmap(at, 4096) };
    checked(outcome.into()).told("msync").map(|_| ())
}

fn read_only_made(place: &Path) -> Outcome {
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o400)
        .open(place.join("ro"));
    made.told("create")?.write_all(b"once").told("write")?;
    same(fs::read(place.join("ro")).told("read")?, b"once".to_vec())
}

fn two_at_once(place: &Path) -> Outcome {
    let writer = file(place)?;
    let mut reader = File::open(place.join("file")).told("open")?;
    for round in 0u8..20 {
        writer
            .write_all_at(&[round; 100], 100 * u64::from(round))
            .told("write")?;
        let mut read = Vec::new();
        reader.read_to_end(&mut read).told("read")?;
        same(read, vec![round; 100])?;
    }
    Ok(())
}

fn copied(place: &Path) -> Outcome {
    let mut from = file(place)?;
    from.write_all(&[b'c'; 100_000]).told("write")?;
    from.seek(SeekFrom::Start(0)).told("seek")?;
    fs::copy(place.join("file"), place.join("copy")).told("copy")?;
    same(
        fs::read(place.join("copy")).told("read")?,
        vec![b'c'; 100_000],
    )
}

fn direct(place: &Path) -> Outcome {
    let open = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .custom_flags(libc::O_DIRECT)
        .open(place.join("d"));
    let file = open.told("open")?;
    #[repr(align(4096))]
    struct Page([u8; 4096]);
    let mut page = Page([b'd'; 4096]);
    file.write_all_at(&page.0, 4096).told("write")?;
    page.0.fill(0);
    file.read_exact_at(&mut page.0, 4096).told("read")?;
    same(page.0, [b'd'; 4096])
}

fn synced(place: &Path) -> Outcome {
    let mut file = file(place)?;
    file.write_all(b"x").told("write")?;
    file.sync_data().told("fdatasync")?;
    file.sync_all().told("fsync")?;
    File::open(place)
        .told("open")?
        .sync_all()
        .told("fsync of the directory")
}

fn allocated(place: &Path) -> Outcome {
    let file = file(place)?;
    // SAFETY: no memory is passed.
    checked(unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, 65_536) }.into()).told("fallocate")?;
    same(file.metadata().told("stat")?.len(), 65_536)
}
