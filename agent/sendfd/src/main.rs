//! Sends what it reads on stdin over the connected socket at descriptor 3, with the files at descriptor 4 and on
//! (SCM_RIGHTS). The socket stays its giver's: nothing is read from it, and it is not closed for anybody else.
//!
//! `kiln-sendfd COUNT`: COUNT files. Exit 0 once all is sent, else 1 with one line on stderr.

use std::io::{self, IoSlice, Read};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::process::ExitCode;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

const SOCKET: i32 = 3;
const FIRST_FILE: i32 = 4;
const MAX_FILES: i32 = 4;
const MAX_BYTES: u64 = 4096;
/// For a peer that reads nothing.
const PATIENCE: Timespec = Timespec {
    tv_sec: 10,
    tv_nsec: 0,
};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("kiln-sendfd: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let count = std::env::args().nth(1).and_then(|word| word.parse::<i32>().ok());
    let count = count
        .filter(|count| (1..=MAX_FILES).contains(count))
        .ok_or_else(|| invalid("how many files?"))?;
    let mut message = Vec::new();
    io::stdin().take(MAX_BYTES + 1).read_to_end(&mut message)?;
    if message.is_empty() || message.len() as u64 > MAX_BYTES {
        return Err(invalid("a message of 1 to 4096 bytes is wanted on stdin"));
    }
    let files: Vec<BorrowedFd> = (FIRST_FILE..FIRST_FILE + count)
        .map(inherited)
        .collect::<io::Result<_>>()?;
    send(inherited(SOCKET)?, &message, &files)
}

/// A descriptor that this process was started with, and never closes.
fn inherited(number: i32) -> io::Result<BorrowedFd<'static>> {
    // SAFETY: looked at before it is used for anything else, and nothing in here closes a descriptor.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_getfd(fd).map_err(|_| invalid(&format!("descriptor {number} is not open")))?;
    Ok(fd)
}

/// The files go with the first byte, as of any message with files.
fn send(socket: BorrowedFd, message: &[u8], files: &[BorrowedFd]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FILES as usize))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(files)) {
        return Err(invalid("too many files"));
    }
    let mut rest = message;
    while !rest.is_empty() {
        match sendmsg(socket, &[IoSlice::new(rest)], &mut ancillary, SendFlags::NOSIGNAL) {
            Ok(sent) => {
                rest = &rest[sent..];
                ancillary.clear();
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => until_writable(socket)?,
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

fn until_writable(socket: BorrowedFd) -> io::Result<()> {
    let mut fds = [PollFd::new(&socket, PollFlags::OUT)];
    match poll(&mut fds, Some(&PATIENCE)) {
        Ok(0) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "nobody reads what is sent",
        )),
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

    #[test]
    fn a_file_arrives_with_the_message_and_is_the_same_file() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (mut writer, reader) = UnixStream::pair().unwrap();
        send(ours.as_fd(), b"take this\n", &[reader.as_fd()]).unwrap();

        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut bytes = [0; 64];
        let mut into = [io::IoSliceMut::new(&mut bytes)];
        let got = recvmsg(theirs.as_fd(), &mut into, &mut ancillary, RecvFlags::empty()).unwrap();
        assert_eq!(&bytes[..got.bytes], b"take this\n");
        let mut files = ancillary.drain().flat_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => fds.collect::<Vec<_>>(),
            _ => Vec::new(),
        });
        let mut received = UnixStream::from(files.next().unwrap());
        assert!(files.next().is_none());
        writer.write_all(b"hello").unwrap();
        let mut word = [0; 5];
        received.read_exact(&mut word).unwrap();
        assert_eq!(&word, b"hello");
    }
}
