//! What the bridge does ahead of the server, to spare the kernel the wait for what is sure: each wait costs it two switches
//! of processes and an interrupt, and Linux asks one thing after the other.
//!
//! - A clunk of what was merely looked at or read, and the clone of a fid, are answered at once; they go to the server with
//!   the next request, before which it can't be seen whether they are done.
//! - Behind a walk the attributes of where it leads are asked for: Linux wants them next, within the same call of a program.
//!   They are as new as the walk, and given to that one request only.
//!
//! Neither is told again to a new server, which is told of the fids as they are by then.

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::bridge::Bridge;
use super::fids::{Fid, Health, Xattr};
use super::request::{Ahead, Effect, Request};
use super::wire::{self, Message};

/// All that Rgetattr may tell (P9_STATS_ALL).
const ALL: u64 = 0x3fff;
const ACCESS: u32 = 3;

impl Bridge {
    /// Answers what is sure. True where it did.
    pub(super) fn answer_ahead(&mut self, number: u64) -> bool {
        let Some((ahead, answer)) = self
            .pending
            .get(number)
            .and_then(|request| self.sure_answer(number, request))
        else {
            return false;
        };
        let Some(request) = self.pending.abandon(number) else {
            return false;
        };
        self.granted(&request, number, &answer);
        self.to_kernel.push(answer);
        self.pending.put_back(
            number,
            Request {
                effect: Effect::Ahead(ahead),
                touched: [None; 2],
                ..request
            },
        );
        self.send_later(number);
        true
    }

    fn sure_answer(&self, number: u64, request: &Request) -> Option<(Ahead, Bytes)> {
        match &request.effect {
            Effect::Clunk(fid) => {
                let is_sure =
                    self.fids.get(*fid).is_some_and(is_let_go) && !self.pending.touches(*fid, Some(number));
                let answer = Message::new(wire::TCLUNK + 1, request.tag);
                is_sure.then(|| (Ahead::LetGo, answer.done()))
            }
            Effect::Walk { from, to, names } if names.is_empty() && from != to => {
                let is_sure = self.fids.get(*from).is_some_and(is_sound) && self.fids.get(*to).is_none();
                let answer = Message::new(wire::TWALK + 1, request.tag).u16(0);
                is_sure.then(|| (Ahead::Clone(*to), answer.done()))
            }
            _ => None,
        }
    }

    /// Asks for the attributes of where a walk leads.
    pub(super) fn look_ahead(&mut self, number: u64, now: Instant) {
        let to = match self.pending.get(number).map(|request| &request.effect) {
            Some(Effect::Walk { from, to, names }) if !names.is_empty() && from != to => *to,
            _ => return,
        };
        let Some(tag) = self.pending.fresh_tag() else {
            return;
        };
        let look = self.pending.add(Request {
            tag: wire::NO_TAG,
            bytes: Message::new(wire::TGETATTR, tag).u32(to).u64(ALL).done(),
            effect: Effect::Ahead(Ahead::Look),
            touched: [None; 2],
            id: None,
            at: now,
        });
        self.known.expect(to, look);
        self.send(look);
    }

    /// Takes the answer to what was done ahead.
    pub(super) fn take_ahead(&mut self, ahead: Ahead, number: u64, answer: BytesMut, now: Instant) {
        match (ahead, wire::errno(&answer)) {
            (Ahead::Look, None) => self.known.learn(number, answer, now),
            // Too many fids are there: whatever is asked of this one is refused with that.
            (Ahead::Clone(fid), Some(errno)) => {
                if let Some(fid) = self.fids.get_mut(fid) {
                    fid.refused = Some(errno);
                }
            }
            _ => {}
        }
    }
}

/// True for a fid whose end changes nothing that anybody could see: what was open for writing may be executed by the host
/// once its writer has closed it.
fn is_let_go(fid: &Fid) -> bool {
    let sets = matches!(fid.xattr, Some(Xattr::Write { .. }));
    let writes = fid.open.is_some_and(|flags| flags & ACCESS != 0);
    !sets && !writes && fid.locks.get(0).is_none()
}

/// True for a fid that the server surely has.
fn is_sound(fid: &Fid) -> bool {
    let is_there = matches!(fid.health, Health::Fine | Health::Doomed);
    is_there && fid.xattr.is_none() && fid.refused.is_none()
}
