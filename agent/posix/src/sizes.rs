//! How long a file is, and made to be.

use std::fs::{self, File, OpenOptions};
use std::io::Result;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::calls::truncate;
use crate::sys::{checked, make_node};
use crate::{Case, Outcome, Told, refused, same};

pub const CASES: &[Case] = &[
    ("truncate cuts and extends by name", by_name),
    ("truncate refuses what has no length", no_length),
    ("ftruncate needs a descriptor that may write", needs_write),
    ("a file that is run is not written", run_not_written),
    ("a hole is found, or the file is said to have none", holes),
    ("posix_fallocate makes a file as long as asked", allocated),
    (
        "a program sees the length that another has just made",
        seen_by_another,
    ),
    ("many pieces are written and read at their places", pieces),
    ("copy_file_range copies a part", part_copied),
    ("O_SYNC and O_DSYNC write", synchronous),
];

fn made(place: &Path) -> std::result::Result<std::path::PathBuf, String> {
    let file = place.join("file");
    fs::write(&file, "0123456789").told("write")?;
    Ok(file)
}

fn by_name(place: &Path) -> Outcome {
    let file = made(place)?;
    for (length, text) in [(4, &b"0123"[..]), (6, b"0123\0\0"), (0, b""), (2, b"\0\0")] {
        truncate(&file, length).told("truncate")?;
        same(fs::read(&file).told("read")?.as_slice(), text)?;
    }
    truncate(&file, (5 << 30) + 1).told("5 GiB")?;
    same(fs::metadata(&file).told("stat")?.len(), (5 << 30) + 1)
}

fn no_length(place: &Path) -> Outcome {
    let file = made(place)?;
    refused(truncate(place, 0), libc::EISDIR)?;
    refused(truncate(&file, -1), libc::EINVAL)?;
    make_node(&place.join("fifo"), libc::S_IFIFO).told("mkfifo")?;
    refused(truncate(&place.join("fifo"), 0), libc::EINVAL)?;
    same(fs::metadata(&file).told("stat")?.len(), 10)
}

fn needs_write(place: &Path) -> Outcome {
    let file = made(place)?;
    refused(File::open(&file).told("open")?.set_len(1), libc::EINVAL)?;
    let writes = OpenOptions::new().write(true).open(&file).told("open")?;
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o400))
        .told("chmod")?;
    writes
        .set_len(3)
        .told("ftruncate of what was opened before")?;
    same(fs::metadata(&file).told("stat")?.len(), 3)
}

fn run_not_written(place: &Path) -> Outcome {
    let copy = place.join("program");
    fs::copy(std::env::current_exe().told("who we are")?, &copy).told("copy")?;
    let mut child = std::process::Command::new(&copy)
        .arg("--wait")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .told("run")?;
    // It has said so once it runs.
    let mut said = [0];
    let heard = std::io::Read::read_exact(child.stdout.as_mut().ok_or("no output")?, &mut said);
    let opened = OpenOptions::new().write(true).open(&copy);
    let cut = truncate(&copy, 0);
    drop(child.stdin.take());
    child.wait().told("wait")?;
    heard.told("the program")?;
    refused(opened, libc::ETXTBSY)?;
    refused(cut, libc::ETXTBSY)
}

fn seek(file: &File, offset: i64, whence: i32) -> Result<i64> {
    // SAFETY: no memory is passed.
    checked(unsafe { libc::lseek(file.as_raw_fd(), offset, whence) })
}

fn holes(place: &Path) -> Outcome {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(place.join("f"))
        .told("open")?;
    file.write_all_at(b"x", 1 << 20).told("write")?;
    let data = seek(&file, 0, libc::SEEK_DATA).told("SEEK_DATA")?;
    same(data == 0 || data == 1 << 20, true)?;
    same(
        seek(&file, 1 << 20, libc::SEEK_HOLE).told("SEEK_HOLE")?,
        (1 << 20) + 1,
    )?;
    refused(seek(&file, 2 << 20, libc::SEEK_DATA), libc::ENXIO)
}

fn allocated(place: &Path) -> Outcome {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(made(place)?)
        .told("open")?;
    // SAFETY: no memory is passed.
    let errno = unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, 65_536) };
    same(errno, 0)?;
    same(file.metadata().told("stat")?.len(), 65_536)?;
    let mut kept = [0; 10];
    file.read_exact_at(&mut kept, 0).told("read")?;
    same(&kept, b"0123456789")
}

fn seen_by_another(place: &Path) -> Outcome {
    let file = made(place)?;
    let (writer, reader) = (
        OpenOptions::new().append(true).open(&file).told("open")?,
        File::open(&file).told("open")?,
    );
    for round in 1..20 {
        std::io::Write::write_all(&mut &writer, b"+").told("append")?;
        same(reader.metadata().told("fstat")?.len(), 10 + round)?;
        same(
            seek(&reader, 0, libc::SEEK_END).told("SEEK_END")?,
            10 + round as i64,
        )?;
    }
    Ok(())
}

fn pieces(place: &Path) -> Outcome {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(made(place)?)
        .told("open")?;
    let (one, two) = ([b'a'; 5_000], [b'b'; 700_000]);
    let parts = [(&one[..]), (&two[..])].map(|part| libc::iovec {
        iov_base: part.as_ptr().cast_mut().cast(),
        iov_len: part.len(),
    });
    // SAFETY: both parts are as long as is said, and are read alone.
    let written = unsafe { libc::pwritev(file.as_raw_fd(), parts.as_ptr(), 2, 3) };
    same(checked(written as i64).told("pwritev")?, 705_000)?;
    let mut read = vec![0; 705_003];
    file.read_exact_at(&mut read, 0).told("read")?;
    same(&read[..3], b"012")?;
    same(read[3..5_003] == one && read[5_003..] == two, true)
}

fn part_copied(place: &Path) -> Outcome {
    let from = File::open(made(place)?).told("open")?;
    let to = File::create(place.join("to")).told("create")?;
    let (mut at, none) = (2i64, std::ptr::null_mut());
    // SAFETY: the offset outlives the call.
    let copied =
        unsafe { libc::copy_file_range(from.as_raw_fd(), &raw mut at, to.as_raw_fd(), none, 5, 0) };
    same(checked(copied as i64).told("copy_file_range")?, 5)?;
    same(
        fs::read(place.join("to")).told("read")?.as_slice(),
        b"23456",
    )
}

fn synchronous(place: &Path) -> Outcome {
    let file = made(place)?;
    for flag in [libc::O_SYNC, libc::O_DSYNC] {
        let mut options = OpenOptions::new();
        std::os::unix::fs::OpenOptionsExt::custom_flags(options.append(true), flag);
        std::io::Write::write_all(&mut options.open(&file).told("open")?, b"s").told("write")?;
    }
    same(fs::read(&file).told("read")?.as_slice(), b"0123456789ss")
}
