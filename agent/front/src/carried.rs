//! What a call carries from one connection to the next: the place in its output, the stdin that nobody has taken yet,
//! the terminal's size.

use std::collections::VecDeque;

use crate::kept::{Kept, Piece};
use crate::program::{Begun, Input, Program};
use crate::proto::{OutputPosition, Resize};

const ACK_EVERY: usize = 64 << 10;

#[derive(Default)]
pub struct Carried {
    pub kept: Kept,
    /// None: nothing was said of it yet.
    pub resumable: Option<bool>,
    pub place: Option<OutputPosition>,
    unacknowledged: usize,
    pub size: Option<Resize>,
    /// What earlier connections were given and this one has to be.
    again: VecDeque<Input>,
    /// This connection takes stdin as it comes.
    open: bool,
    /// This connection has brought an answer.
    pub answered: bool,
}

impl Carried {
    /// Another connection. `open`: it takes stdin before it has said that the program began.
    pub fn connect(&mut self, open: bool) {
        self.again.clear();
        self.open = open;
        self.answered = false;
    }

    /// The program is there on this connection.
    pub fn begin(&mut self, begun: &Begun) {
        if begun.resumable {
            self.kept.take(begun.stdin_next);
        }
        if !self.open {
            self.open = true;
            let size = self.size.map(Input::Resize);
            let missing = self.kept.missing().into_iter().map(Input::from);
            self.again = missing.chain(size).collect();
        }
        if !begun.resumable {
            self.kept.clear();
        }
        self.resumable = Some(begun.resumable);
        self.place = begun.place.or(self.place);
    }

    /// What is to be said before anything new.
    pub fn due<P: Program>(&mut self) -> Option<P::Ask> {
        if let Some(again) = self.again.pop_front() {
            return Some(P::ask(again));
        }
        if self.unacknowledged < ACK_EVERY || self.resumable != Some(true) || !self.open {
            return None;
        }
        self.unacknowledged = 0;
        self.place.and_then(P::ack)
    }

    /// True where it can be sent at once.
    pub fn keep(&mut self, piece: &Piece) -> bool {
        if self.resumable != Some(false) {
            self.kept.add(piece.clone());
        }
        self.open
    }

    /// So much of the output was shown, up to `next`. True where that is due to be said.
    pub fn shown(&mut self, bytes: usize, next: Option<OutputPosition>) -> bool {
        self.place = next.or(self.place);
        self.unacknowledged += bytes;
        self.unacknowledged >= ACK_EVERY
    }
}
