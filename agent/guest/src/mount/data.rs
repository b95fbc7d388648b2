//! A file's bytes, with its holes: a sparse image of 10 GB stays as small as it is.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

const PIECE: usize = 256 << 10;

/// Copies all of `from` into the empty file `into`.
pub fn copy(from: &OwnedFd, into: &OwnedFd) -> io::Result<()> {
    let size = u64::try_from(rustix::fs::fstat(from)?.st_size).unwrap_or(0);
    let mut buffer = Vec::new();
    let mut at = 0;
    while let Some((start, end)) = next_data(from, at, size)? {
        buffer.resize(PIECE, 0);
        copy_range(from, into, start, end, &mut buffer)?;
        at = end;
    }
    // No write has made a hole at the end.
    Ok(rustix::fs::ftruncate(into, size)?)
}

/// Where data lies from `at` on; None where there is nothing but a hole.
fn next_data(from: &OwnedFd, at: u64, size: u64) -> io::Result<Option<(u64, u64)>> {
    if at >= size {
        return Ok(None);
    }
    let start = match seek(from, SeekFrom::Data(at)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return Ok(None),
        // A file system that knows no holes.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Some((at, size))),
        Err(error) => return Err(error.into()),
    };
    let end = seek(from, SeekFrom::Hole(start))?.min(size);
    Ok((start < end).then_some((start, end)))
}

fn copy_range(from: &OwnedFd, into: &OwnedFd, start: u64, end: u64, buffer: &mut [u8]) -> io::Result<()> {
    let mut at = start;
    while at < end {
        let most = usize::try_from(end - at).unwrap_or(PIECE).min(PIECE);
        let count = match rustix::io::pread(from, &mut buffer[..most], at) {
            // Shorter since.
            Ok(0) => return Ok(()),
            Err(Errno::INTR) => continue,
            read => read?,
        };
        let mut written = 0;
        while written < count {
            match rustix::io::pwrite(into, &buffer[written..count], at + written as u64) {
                Ok(more) => written += more,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        at += count as u64;
    }
    Ok(())
}
