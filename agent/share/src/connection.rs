//! One connection from its hello to its end: bytes in, whole messages to the session, answers out. Never more is read than
//! can be answered: a guest that does not read its answers waits for itself.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::greeting::Greeting;
use crate::serve::Session;
use crate::state::State;
use crate::wire::{MAX_MESSAGE, message_length};

/// How long a hello may stay without its answer once bytes come.
const PATIENCE: Duration = Duration::from_secs(30);
/// Answers that wait: as long as there are more, nothing is asked.
const MAX_WAITING: usize = 2 * MAX_MESSAGE as usize;
const READ: usize = 1 << 20;
/// A wait that was told to end is told again.
const NUDGE: Duration = Duration::from_millis(5);

/// Serves until the other side hangs up, or says what cannot be understood, or a newer connection is there.
///
/// @param newer readable when one is
/// @returns whether a guest was there: its bridge answered the hello
pub fn serve(stream: UnixStream, state: &mut State, newer: Option<BorrowedFd>) -> bool {
    let Ok(Some((mut connection, resumed))) = Connection::open(stream, state.share.read_only, newer) else {
        return false;
    };
    let mut session = Session::new(state, resumed);
    // A hang-up, or what was no message: either way there is nothing to be said to anybody.
    let _ = connection.run(&mut session, newer);
    session.state().reset();
    true
}

struct Connection {
    stream: UnixStream,
    /// What one read fills.
    chunk: Vec<u8>,
    input: Vec<u8>,
    out: Vec<u8>,
    /// Of `out`.
    sent: usize,
}

impl Connection {
    /// None: nobody answers. With it, whether the guest goes on where another server ended.
    fn open(
        stream: UnixStream,
        read_only: bool,
        newer: Option<BorrowedFd>,
    ) -> io::Result<Option<(Self, bool)>> {
        stream.set_nonblocking(true)?;
        let (input, out) = (Vec::new(), Vec::new());
        let mut connection = Self {
            stream,
            chunk: vec![0; READ],
            input,
            out,
            sent: 0,
        };
        let resumed = connection.greet(read_only, newer)?;
        Ok(resumed.map(|resumed| (connection, resumed)))
    }

    /// None: nobody answers, in time or any more.
    fn greet(&mut self, read_only: bool, newer: Option<BorrowedFd>) -> io::Result<Option<bool>> {
        let mut greeting = Greeting::new()?;
        self.out = greeting.hello(read_only);
        let mut deadline = None;
        loop {
            self.send()?;
            let left = deadline.map(|deadline: Instant| deadline.saturating_duration_since(Instant::now()));
            let ready = self.poll(None, newer, true, left)?;
            if ready.newer || left.is_some_and(|left| left.is_zero()) {
                return Ok(None);
            }
            if !ready.input {
                continue;
            }
            if !self.fill()? {
                return Ok(None);
            }
            if let Some(answered) = greeting.feed(&std::mem::take(&mut self.input)) {
                self.input = answered.rest;
                return Ok(Some(answered.resumed));
            }
            if greeting.has_begun() {
                deadline.get_or_insert_with(|| Instant::now() + PATIENCE);
            }
        }
    }

    fn run(&mut self, session: &mut Session, newer: Option<BorrowedFd>) -> io::Result<()> {
        loop {
            let all = self.handle(session)?;
            session.state().jobs.collect(&mut self.out);
            self.send()?;
            if !all && self.waiting() < MAX_WAITING {
                continue;
            }
            let nudge = session.state().jobs.nudge().then_some(NUDGE);
            let wake = session.state().jobs.wake.clone();
            let wants = self.waiting() < MAX_WAITING;
            let ready = self.poll(Some(wake.as_fd()), newer, wants, nudge)?;
            if ready.newer || (ready.input && !self.fill()?) {
                return Ok(());
            }
        }
    }

    fn waiting(&self) -> usize {
        self.out.len() - self.sent
    }

    /// All whole messages that there is room to answer. False: some are left.
    fn handle(&mut self, session: &mut Session) -> io::Result<bool> {
        let mut at = 0;
        let mut all = false;
        while self.waiting() < MAX_WAITING {
            let rest = &self.input[at..];
            let length =
                message_length(rest, session.msize().max(crate::wire::MIN_MESSAGE)).map_err(malformed)?;
            let Some(message) = length.and_then(|length| rest.get(..length)) else {
                all = true;
                break;
            };
            session.handle(message, &mut self.out);
            at += message.len();
        }
        self.input.drain(..at);
        Ok(all)
    }

    /// False at the end.
    fn fill(&mut self) -> io::Result<bool> {
        match self.stream.read(&mut self.chunk) {
            Ok(count) => {
                self.input.extend_from_slice(&self.chunk[..count]);
                Ok(count > 0)
            }
            Err(error) if is_later(&error) => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn send(&mut self) -> io::Result<()> {
        while self.waiting() > 0 {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if is_later(&error) => break,
                Err(error) => return Err(error),
            }
        }
        if self.sent == self.out.len() {
            self.out.clear();
            self.sent = 0;
        }
        Ok(())
    }

    fn poll(
        &self,
        wake: Option<BorrowedFd>,
        newer: Option<BorrowedFd>,
        wants: bool,
        limit: Option<Duration>,
    ) -> io::Result<Ready> {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, wants);
        flags.set(PollFlags::OUT, self.waiting() > 0);
        let mut fds = vec![PollFd::from_borrowed_fd(self.stream.as_fd(), flags)];
        fds.extend(wake.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        let newer_at = newer.map(|fd| {
            fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
            fds.len() - 1
        });
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        match poll(&mut fds, limit.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let gone = PollFlags::HUP | PollFlags::ERR;
        let stream = fds[0].revents();
        Ok(Ready {
            input: stream.intersects(PollFlags::IN | gone),
            newer: newer_at.is_some_and(|at| !fds[at].revents().is_empty()),
        })
    }
}

struct Ready {
    input: bool,
    newer: bool,
}

fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

fn malformed(_: Errno) -> io::Error {
    io::Error::new(
        ErrorKind::InvalidData,
        "a message has a length that none can have",
    )
}
