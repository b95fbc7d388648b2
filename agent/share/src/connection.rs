//! One connection from its hello to its end: bytes in, whole messages to the session, answers out. Never more is read than
//! can be answered: a guest that does not read its answers waits for itself.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::greeting::{Answered, Greeting};
use crate::serve::Session;
use crate::state::State;
use crate::wire::{MAX_MESSAGE, message_length};

/// How long a hello may stay without its answer once bytes come.
const PATIENCE: Duration = Duration::from_secs(30);
/// What an earlier connection has left comes before: a bridge asks once a second.
const UNHEARD: Duration = Duration::from_millis(500);
/// Answers that wait: as long as there are more, nothing is asked.
const MAX_WAITING: usize = 2 * MAX_MESSAGE as usize;
const READ: usize = 1 << 20;
/// What the host has changed is told where fewer answers wait.
const MAX_NOTICES: usize = 64 * 1024;
/// A wait that was told to end is told again.
const NUDGE: Duration = Duration::from_millis(5);

/// Serves until the other side hangs up, or says what cannot be understood, or a newer connection is there.
///
/// @param newer readable when one is
/// @returns whether a guest was there: its bridge answered the hello
pub fn serve(stream: UnixStream, state: &mut State, newer: Option<BorrowedFd>) -> bool {
    let Ok(greeting) = Greeting::new() else {
        return false;
    };
    let hello = greeting.hello(state.share.read_only, state.watches.is_some());
    let Ok(Some((mut connection, answered))) = Connection::open(stream, greeting, hello, newer) else {
        return false;
    };
    let mut session = Session::new(state, answered.resumed, answered.takes_notices);
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
    /// None: nobody answers.
    fn open(
        stream: UnixStream,
        greeting: Greeting,
        hello: Vec<u8>,
        newer: Option<BorrowedFd>,
    ) -> io::Result<Option<(Self, Answered)>> {
        stream.set_nonblocking(true)?;
        let (chunk, input) = (vec![0; READ], Vec::new());
        let mut connection = Self {
            stream,
            chunk,
            input,
            out: hello,
            sent: 0,
        };
        let answered = connection.greet(greeting, newer)?;
        Ok(answered.map(|answered| (connection, answered)))
    }

    /// None: nobody answers, in time or any more.
    fn greet(&mut self, mut greeting: Greeting, newer: Option<BorrowedFd>) -> io::Result<Option<Answered>> {
        let mut deadline = None;
        let begun = Instant::now();
        loop {
            self.send()?;
            let left = deadline.map(|deadline: Instant| deadline.saturating_duration_since(Instant::now()));
            let ready = self.poll(&[], newer, true, left)?;
            if ready.newer || left.is_some_and(|left| left.is_zero()) {
                return Ok(None);
            }
            if !ready.input {
                continue;
            }
            if !self.fill()? {
                return Ok(None);
            }
            if let Some(mut answered) = greeting.feed(&std::mem::take(&mut self.input)) {
                self.input = std::mem::take(&mut answered.rest);
                return Ok(Some(answered));
            }
            // The hello was lost with an earlier connection: what asks for it now was sent after it. A new connection has a
            // new one, so that a late answer to this one counts for nothing.
            if greeting.was_unheard() && begun.elapsed() > UNHEARD {
                return Ok(None);
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
            if self.waiting() < MAX_NOTICES {
                session.state().tell_changes(&mut self.out);
            }
            self.send()?;
            if !all && self.waiting() < MAX_WAITING {
                continue;
            }
            let nudge = session.state().jobs.nudge().then_some(NUDGE);
            let mut wakes = vec![session.state().jobs.wake.clone()];
            // Not while nothing is told: it would be ready all the time.
            if self.waiting() < MAX_NOTICES {
                wakes.extend(session.state().watching().map(|watches| watches.fd.clone()));
            }
            let wants = self.waiting() < MAX_WAITING;
            let ready = self.poll(&wakes, newer, wants, nudge)?;
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
        wakes: &[Arc<OwnedFd>],
        newer: Option<BorrowedFd>,
        wants: bool,
        limit: Option<Duration>,
    ) -> io::Result<Ready> {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, wants);
        flags.set(PollFlags::OUT, self.waiting() > 0);
        let mut fds = vec![PollFd::from_borrowed_fd(self.stream.as_fd(), flags)];
        fds.extend(
            wakes
                .iter()
                .map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)),
        );
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
