//! An open directory that is read in pieces. Places in it are the file system's own cookies, so that a read goes on
//! after the server was replaced.

use std::mem::offset_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

const BUFFER: usize = 32 * 1024;

pub struct Stream {
    fd: OwnedFd,
    /// Where the descriptor stands.
    at: u64,
}

pub struct Entry<'a> {
    pub ino: u64,
    /// Of the entry after it.
    pub next: u64,
    /// DT_*.
    pub kind: u8,
    pub name: &'a [u8],
}

impl Stream {
    pub fn new(fd: OwnedFd) -> Self {
        Self { fd, at: 0 }
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// From a cookie on, until `take` will have no more or the end. Nothing is kept between two reads: a guest may have
    /// thousands of directories open, and memory is for none of them.
    pub fn read(&mut self, offset: u64, mut take: impl FnMut(&Entry) -> bool) -> Result<(), Errno> {
        // A read from the start sees what has come since.
        if offset != self.at || offset == 0 {
            seek(&self.fd, SeekFrom::Start(offset))?;
            self.at = offset;
        }
        let mut buffer = vec![0; BUFFER];
        loop {
            let count = getdents(&self.fd, &mut buffer)?;
            let mut rest = &buffer[..count];
            if rest.is_empty() {
                return Ok(());
            }
            while !rest.is_empty() {
                let entry = entry(rest)?;
                if !take(&entry) {
                    // The descriptor stands behind the whole buffer: the next read has to go back.
                    self.at = u64::MAX;
                    return Ok(());
                }
                self.at = entry.next;
                rest = &rest[length(rest).unwrap_or(rest.len())..];
            }
        }
    }
}

fn getdents(fd: &OwnedFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: the buffer is writable for its length.
    let count = unsafe {
        libc::syscall(
            libc::SYS_getdents64,
            fd.as_raw_fd(),
            buffer.as_mut_ptr(),
            buffer.len(),
        )
    };
    usize::try_from(count)
        .map_err(|_| Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
}

fn length(bytes: &[u8]) -> Option<usize> {
    let at = offset_of!(libc::dirent64, d_reclen);
    let raw = bytes.get(at..at + 2)?.try_into().ok()?;
    Some(usize::from(u16::from_ne_bytes(raw)))
}

/// One struct linux_dirent64.
fn entry(bytes: &[u8]) -> Result<Entry<'_>, Errno> {
    let word = |at: usize| {
        bytes
            .get(at..at + 8)
            .and_then(|raw| raw.try_into().ok())
            .map(u64::from_ne_bytes)
    };
    let name_at = offset_of!(libc::dirent64, d_name);
    let whole = || {
        let record = bytes.get(..length(bytes)?)?;
        let name = record.get(name_at..)?.split(|&byte| byte == 0).next()?;
        let kind = *record.get(offset_of!(libc::dirent64, d_type))?;
        Some(Entry {
            ino: word(0)?,
            next: word(8)?,
            kind,
            name,
        })
    };
    whole().ok_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::tests::Scratch;
    use rustix::fs::OFlags;
    use std::collections::HashSet;

    fn names(stream: &mut Stream, from: u64, most: usize) -> Vec<(Vec<u8>, u64)> {
        let mut all = Vec::new();
        let take = |entry: &Entry| {
            let more = all.len() < most;
            if more {
                all.push((entry.name.to_vec(), entry.next));
            }
            more
        };
        stream.read(from, take).expect("it reads");
        all
    }

    #[test]
    fn gives_every_name_once_and_goes_on_at_a_cookie() {
        let scratch = Scratch::new("stream");
        for number in 0..2000 {
            std::fs::write(scratch.0.join(format!("name-{number}")), "").expect("it can be written");
        }
        let open = || Stream::new(scratch.node().open(OFlags::RDONLY).expect("it opens"));
        let all = names(&mut open(), 0, usize::MAX);
        let distinct: HashSet<_> = all.iter().map(|(name, _)| name).collect();
        assert_eq!((all.len(), distinct.len()), (2002, 2002));
        let mut same = open();
        assert_eq!(names(&mut same, 0, 700), all[..700]);
        assert_eq!(names(&mut same, all[699].1, 300), all[700..1000]);
        // Another server goes on.
        assert_eq!(names(&mut open(), all[999].1, usize::MAX), all[1000..]);
    }

    #[test]
    fn a_read_from_the_start_sees_what_has_come() {
        let scratch = Scratch::new("stream-again");
        let mut stream = Stream::new(scratch.node().open(OFlags::RDONLY).expect("it opens"));
        assert_eq!(names(&mut stream, 0, usize::MAX).len(), 2);
        std::fs::write(scratch.0.join("new"), "").expect("it can be written");
        assert_eq!(names(&mut stream, 0, usize::MAX).len(), 3);
    }
}
