//! Our stdin and output, each on a thread of its own: other processes share these descriptors, so they must stay
//! blocking, and regular files cannot be polled at all. Channels of one piece carry the back-pressure.

use std::os::fd::BorrowedFd;
use std::thread;

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::stdio::{stderr, stdin, stdout};
use tokio::sync::{mpsc, oneshot};

/// Bytes of stdin in one message, as the SDK cuts them.
const PIECE: usize = 64 << 10;

/// What is typed or piped in; ends where it ends. A guest that does not read stops the reading here.
pub fn read_stdin() -> mpsc::Receiver<Bytes> {
    let (pieces, receiver) = mpsc::channel(1);
    thread::spawn(move || {
        let mut buffer = vec![0; PIECE];
        // An error is an end too: a terminal that has gone.
        while let Ok(count @ 1..) = read(&mut buffer) {
            if pieces
                .blocking_send(Bytes::copy_from_slice(&buffer[..count]))
                .is_err()
            {
                return;
            }
        }
    });
    receiver
}

fn read(buffer: &mut [u8]) -> Result<usize, Errno> {
    loop {
        match rustix::io::read(stdin(), &mut *buffer) {
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => wait_for(stdin(), PollFlags::IN)?,
            outcome => return outcome,
        }
    }
}

/// Somebody who shares the descriptor has made it non-blocking.
fn wait_for(fd: BorrowedFd, what: PollFlags) -> Result<(), Errno> {
    retry_on_intr(|| poll(&mut [PollFd::from_borrowed_fd(fd, what)], None)).map(|_| ())
}

/// Where the program's output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    fn fd(self) -> BorrowedFd<'static> {
        match self {
            Self::Stdout => stdout(),
            Self::Stderr => stderr(),
        }
    }
}

/// Takes output, in order; a piece is taken when the one before the last is written.
pub type Pieces = mpsc::Sender<(Stream, Bytes)>;
/// How the writing ended: well, once `Pieces` was dropped and all is out; or with the error that stopped it.
pub type Written = oneshot::Receiver<Result<(), Errno>>;

/// Starts the writer.
pub fn write_output() -> (Pieces, Written) {
    let (pieces, mut waiting) = mpsc::channel::<(Stream, Bytes)>(1);
    let (ended, written) = oneshot::channel();
    thread::spawn(move || {
        let outcome = loop {
            let Some((stream, data)) = waiting.blocking_recv() else {
                break Ok(());
            };
            if let Err(error) = write_all(stream.fd(), &data) {
                break Err(error);
            }
        };
        let _ = ended.send(outcome); // the session may be over already
    });
    (pieces, written)
}

fn write_all(fd: BorrowedFd, mut data: &[u8]) -> Result<(), Errno> {
    while !data.is_empty() {
        match rustix::io::write(fd, data) {
            Ok(count) => data = &data[count..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => wait_for(fd, PollFlags::OUT)?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
