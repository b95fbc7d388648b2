//! The bridge between the kernel's 9p client and the share's server, without any descriptor: takes bytes and the time,
//! gives bytes.
//!
//! The kernel sees one server that never ends. A request waits until it is answered; a new server is first told what the
//! last one knew (`replay`), then what was asked and not answered, with the numbers by which it finds in its ledger what
//! was done already.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::fids::Fids;
use super::hello;
use super::inbox::{Inbox, Piece};
use super::known::Known;
use super::notices::Notices;
use super::outbox::Outbox;
use super::pending::Pending;
use super::replay::{OWN_TAG, Replay};
use super::request::{self, Effect, Request};
use super::wire::{self, Message};

/// A connection that says no hello belongs to a server that believes in an earlier session.
const HELLO_WITHIN: Duration = Duration::from_secs(1);
const NUDGE_AGAIN: Duration = Duration::from_secs(5);
/// The kernel takes what it is given; only a stuck one lets more wait.
const MOST_UNREAD: usize = 2 << 20;

pub(super) enum Link {
    /// No connection.
    Gone,
    /// No session on it.
    Silent {
        nudge_at: Instant,
    },
    /// A new server is being told what the last one knew.
    Replaying(Box<Replay>),
    /// It is told which requests come again.
    Announced,
    Up,
}

/// The kernel says what no kernel says: the mount is of no use any more.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

pub struct Bridge {
    pub to_kernel: Outbox,
    pub to_server: Outbox,
    pub notices: Notices,
    pub(super) fids: Fids,
    pub(super) pending: Pending,
    pub(super) known: Known,
    pub(super) link: Link,
    /// What was agreed on; None before.
    pub(super) msize: Option<u32>,
    inbox: Inbox,
    from_kernel: BytesMut,
    /// When a suspicious silence is long enough.
    silent_at: Option<Instant>,
    /// Since when no server has answered; None while one does.
    pub(super) away_since: Option<Instant>,
    /// How long requests wait for one; None: for ever.
    pub(super) patience: Option<Duration>,
    /// The mount ends: from then on nothing waits longer.
    pub(super) ending: Option<Duration>,
    /// The number of the next request that is sent for the first time.
    pub(super) next_id: u64,
}

impl Bridge {
    pub fn new(patience: Option<Duration>, now: Instant) -> Self {
        Self {
            to_kernel: Outbox::default(),
            to_server: Outbox::default(),
            notices: Notices::default(),
            fids: Fids::default(),
            pending: Pending::default(),
            known: Known::default(),
            link: Link::Gone,
            msize: None,
            inbox: Inbox::new(wire::MSIZE as usize),
            from_kernel: BytesMut::new(),
            silent_at: None,
            away_since: Some(now),
            patience,
            ending: None,
            next_id: 0,
        }
    }

    /// True while more of the kernel's requests may come.
    pub fn wants_kernel(&self) -> bool {
        !self.pending.is_full()
    }

    pub fn wants_server(&self) -> bool {
        self.to_kernel.length() < MOST_UNREAD
    }

    pub const fn is_away(&self) -> bool {
        self.away_since.is_some()
    }

    /// Takes bytes of the kernel.
    pub fn kernel_wrote(&mut self, bytes: &[u8], now: Instant) -> Result<(), Malformed> {
        self.from_kernel.extend_from_slice(bytes);
        while let Some(length) = wire::length(&self.from_kernel) {
            if !(wire::HEADER..=wire::MSIZE as usize).contains(&length) {
                return Err(Malformed);
            }
            if self.from_kernel.len() < length {
                self.from_kernel.reserve(length - self.from_kernel.len());
                break;
            }
            let message = self.from_kernel.split_to(length);
            self.ask(message, now);
        }
        Ok(())
    }

    fn ask(&mut self, mut message: BytesMut, now: Instant) {
        let (tag, kind) = (wire::tag(&message), wire::kind(&message));
        if self.notices.is_own(&message) {
            self.to_kernel.push(Message::new(wire::TSETATTR + 1, tag).done());
            return;
        }
        let (mut effect, touched) = request::read(&message);
        if let Some(mut answer) = self.known.answer(kind, touched, now) {
            wire::set_tag(&mut answer, tag);
            return self.to_kernel.push(answer.freeze());
        }
        match kind {
            wire::TVERSION => self.begin_anew(),
            wire::TFLUSH => match self.flush(tag, &mut message) {
                Some(old) => effect = Effect::Flush(old),
                None => return,
            },
            _ => {}
        }
        let own = match kind {
            wire::TVERSION => Some(wire::NO_TAG),
            _ => self.pending.fresh_tag(),
        };
        let Some(own) = own else {
            self.to_kernel.push(wire::refusal(tag, libc::EAGAIN));
            return;
        };
        wire::set_tag(&mut message, own);
        // A small message must not keep the memory of all that was read with it.
        let bytes = match message.len() {
            0..4096 => Bytes::copy_from_slice(&message),
            _ => message.freeze(),
        };
        if let Effect::Lock { fid, lock } = &effect {
            self.unlock_before(*fid, lock);
        }
        let number = self.pending.add(Request {
            tag,
            bytes,
            effect,
            touched,
            id: None,
            at: now,
        });
        if self.answer_alone(number, now) {
            return;
        }
        if matches!(self.link, Link::Up) && !self.answer_ahead(number) {
            self.send(number);
            self.look_ahead(number, now);
        }
    }

    /// The kernel mounts: nothing of before is known to it.
    fn begin_anew(&mut self) {
        self.fids.clear();
        self.known.clear();
        self.pending.abandon_ahead();
        self.msize = None;
        self.next_id = 0;
    }

    /// Gives the number of the request that is flushed where the server must hear of it, and answers where not.
    fn flush(&mut self, tag: u16, message: &mut BytesMut) -> Option<u64> {
        let kernel_tag = wire::Fields::of(message).u16().unwrap_or(wire::NO_TAG);
        let Some(number) = self.pending.by_kernel(kernel_tag) else {
            // It was answered before: the answer is on its way to the kernel.
            self.answer_flush(tag);
            return None;
        };
        let old = self.pending.get(number)?;
        let wire_tag = wire::tag(&old.bytes);
        let unseen = old.id.is_none() || request::is_repeatable(old.kind());
        if unseen && matches!(self.link, Link::Gone | Link::Silent { .. }) {
            // Nobody is there who could still do it. What may be done already waits, to be told as done.
            self.pending.remove(number);
            self.answer_flush(tag);
            return None;
        }
        message[wire::HEADER..wire::HEADER + 2].copy_from_slice(&wire_tag.to_le_bytes());
        Some(number)
    }

    pub(super) fn answer_flush(&mut self, tag: u16) {
        self.to_kernel.push(Message::new(wire::TFLUSH + 1, tag).done());
    }

    pub(super) fn send(&mut self, number: u64) {
        if let Some(bytes) = self.numbered(number) {
            self.to_server.push(bytes);
        }
    }

    /// With the next one.
    pub(super) fn send_later(&mut self, number: u64) {
        if let Some(bytes) = self.numbered(number) {
            self.to_server.push_idle(bytes);
        }
    }

    /// A request with its id, to be sent.
    fn numbered(&mut self, number: u64) -> Option<Bytes> {
        let request = self.pending.get_mut(number)?;
        if request.id.is_none() {
            request.id = Some(self.next_id);
            self.next_id += 1;
        }
        Some(request.bytes.clone())
    }

    /// A connection is there, and a hello is to come.
    pub fn connected(&mut self, now: Instant) {
        self.inbox.clear();
        let nudge_at = now + HELLO_WITHIN;
        self.link = Link::Silent { nudge_at };
    }

    /// The connection is gone.
    pub fn gone(&mut self, now: Instant) {
        self.inbox.clear();
        self.to_server.clear();
        self.lose_session(now);
        self.link = Link::Gone;
        self.let_go_alone();
    }

    pub(super) fn lose_session(&mut self, now: Instant) {
        self.silent_at = None;
        self.away_since.get_or_insert(now);
        self.fids.lose_server();
        self.known.clear();
        self.pending.abandon_ahead();
        self.pending.lose_server();
    }

    /// The server speaks no 9P: asks it for another session.
    pub(super) fn break_session(&mut self, now: Instant) {
        self.inbox.end_session();
        self.to_server.clear_after_message();
        self.lose_session(now);
        self.nudge(now);
    }

    fn nudge(&mut self, now: Instant) {
        self.to_server.push(Bytes::copy_from_slice(&hello::nudge()));
        self.link = Link::Silent {
            nudge_at: now + NUDGE_AGAIN,
        };
    }

    /// Takes what one read of the connection gave.
    pub fn server_sent(&mut self, chunk: &[u8], now: Instant) {
        for written in hello::apart(chunk) {
            self.silent_at = None;
            if let Some(suspicion) = self.inbox.feed(written) {
                self.silent_at = Some(now + suspicion.silence);
                if suspicion.ask {
                    self.ask_for_life();
                }
            }
            self.take_pieces(now);
        }
    }

    /// A flush of nothing, which every session answers. The server counts it as a request.
    fn ask_for_life(&mut self) {
        self.next_id += 1;
        self.to_server
            .push(Message::new(wire::TFLUSH, OWN_TAG).u16(OWN_TAG).done());
    }

    fn take_pieces(&mut self, now: Instant) {
        while let Some(piece) = self.inbox.next() {
            match piece {
                Piece::Hello(hello) => self.begin_session(&hello, now),
                Piece::Message(message) => self.take_answer(message, now),
                Piece::Broken => self.break_session(now),
            }
        }
    }

    /// When `tick` has something to do.
    pub fn next_tick(&self) -> Option<Instant> {
        let nudge = match self.link {
            Link::Silent { nudge_at } => Some(nudge_at),
            _ => None,
        };
        [nudge, self.silent_at, self.gives_up_at()]
            .into_iter()
            .flatten()
            .min()
    }

    pub fn tick(&mut self, now: Instant) {
        if self.silent_at.is_some_and(|at| at <= now) {
            self.silent_at = None;
            self.inbox.silence();
            self.take_pieces(now);
        }
        if matches!(self.link, Link::Silent { nudge_at } if nudge_at <= now) {
            self.nudge(now);
        }
        self.give_up(now);
    }
}
