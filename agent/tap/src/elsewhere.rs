//! Does work in a child, which may go where this process must not, and takes over the files that it comes back with.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

/// SCM_RIGHTS of one message: a VM's cards.
const MOST_FILES: usize = 8;
const LONGEST_ERROR: usize = 1024;
/// The kernel's lock on links may be held for long on a host where many are made and removed.
const PATIENCE: Timespec = Timespec {
    tv_sec: 30,
    tv_nsec: 0,
};
const DONE: &[u8] = b"=";

/// The files that `work` returns in a child of this process, which has ended by then.
pub fn files_of(work: impl FnOnce() -> Result<Vec<File>, String>) -> Result<Vec<OwnedFd>, String> {
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(words)?;
    // SAFETY: this process has one thread, so its child may do whatever it could.
    match unsafe { libc::fork() } {
        -1 => Err(words(io::Error::last_os_error())),
        0 => {
            drop(ours);
            let sent = answer(theirs.as_fd(), work());
            // SAFETY: ends this process, and runs nothing that is the parent's.
            unsafe { libc::_exit(i32::from(sent.is_err())) }
        }
        pid => {
            drop(theirs);
            let received = receive(ours.as_fd());
            let child = Pid::from_raw(pid);
            if received.is_err()
                && let Some(child) = child
            {
                // It has told an error and ends, or it hangs.
                let _ = kill_process(child, Signal::KILL);
            }
            reap(child);
            received
        }
    }
}

fn answer(to: BorrowedFd, result: Result<Vec<File>, String>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FILES))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let (bytes, files) = match result {
        Ok(files) => (DONE.to_vec(), files),
        Err(why) => (why.into_bytes(), Vec::new()),
    };
    let borrowed: Vec<BorrowedFd> = files.iter().map(AsFd::as_fd).collect();
    if !borrowed.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(&borrowed)) {
        return Err(io::Error::other("too many files"));
    }
    let bytes = &bytes[..bytes.len().min(LONGEST_ERROR)];
    sendmsg(to, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn receive(from: BorrowedFd) -> Result<Vec<OwnedFd>, String> {
    let mut fds = [PollFd::new(&from, PollFlags::IN)];
    loop {
        match poll(&mut fds, Some(&PATIENCE)) {
            Ok(0) => return Err("the taps were not made in time".into()),
            Ok(_) => break,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(words(errno)),
        }
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FILES))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0; LONGEST_ERROR];
    let got = recvmsg(
        from,
        &mut [IoSliceMut::new(&mut bytes)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )
    .map_err(words)?;
    match &bytes[..got.bytes] {
        DONE => Ok(ancillary
            .drain()
            .flat_map(|message| match message {
                RecvAncillaryMessage::ScmRights(files) => files.collect::<Vec<_>>(),
                _ => Vec::new(),
            })
            .collect()),
        [] => Err("what makes the taps ended without a word".into()),
        why => Err(String::from_utf8_lossy(why).into_owned()),
    }
}

/// No zombie is left to the program that this process becomes.
fn reap(child: Option<Pid>) {
    while matches!(waitpid(child, WaitOptions::empty()), Err(Errno::INTR)) {}
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}
