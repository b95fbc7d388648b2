//! What is answered without a server: what it would not know of, and what must not wait any longer.

use std::time::{Duration, Instant};

use super::bridge::{Bridge, Link};
use super::request::{self, Effect};
use super::wire::{self, Message};

impl Bridge {
    /// The mount is about to end: nothing waits longer than `grace` from now on, whatever was asked for.
    pub fn end(&mut self, grace: Duration) {
        self.ending = Some(grace);
    }

    /// How long a request waits while no server is there.
    fn waits(&self) -> Option<Duration> {
        match (self.patience, self.ending) {
            (Some(patience), Some(grace)) => Some(patience.min(grace)),
            (patience, grace) => patience.or(grace),
        }
    }

    /// True once the server has been away too long for anything to wait for it.
    fn is_given_up(&self, now: Instant) -> bool {
        let away = self.away_since.zip(self.waits());
        away.is_some_and(|(since, patience)| since + patience <= now)
    }

    /// When the next request has waited long enough.
    pub(super) fn gives_up_at(&self) -> Option<Instant> {
        if self
            .pending
            .iter()
            .all(|(_, request)| self.must_wait(&request.effect))
        {
            return None;
        }
        let since_away = self
            .away_since
            .zip(self.waits())
            .map(|(since, patience)| since + patience);
        let oldest = self
            .pending
            .iter()
            .find(|(_, request)| !self.must_wait(&request.effect));
        let by_age = self
            .ending
            .zip(oldest)
            .map(|(grace, (_, request))| request.at + grace);
        [since_away, by_age].into_iter().flatten().min()
    }

    /// True for what can't be refused without harm: a lock that others hold is no sign of a server that hangs, and a fid
    /// that a new server is being told of must be let go of there too.
    const fn must_wait(&self, effect: &Effect) -> bool {
        let is_there = matches!(self.link, Link::Up | Link::Announced);
        let is_told = matches!(self.link, Link::Replaying(_));
        match effect {
            Effect::Lock { .. } => is_there,
            Effect::Clunk(_) => is_told && self.ending.is_none(),
            Effect::Ahead(_) => true,
            _ => false,
        }
    }

    pub(super) fn give_up(&mut self, now: Instant) {
        let all = self.is_given_up(now);
        for number in self.pending.numbers() {
            let old = self
                .pending
                .get(number)
                .filter(|request| !self.must_wait(&request.effect));
            let too_old = old
                .zip(self.ending)
                .is_some_and(|(request, grace)| request.at + grace <= now);
            if old.is_some() && (all || too_old) {
                self.refuse(number, libc::EIO);
            }
        }
    }

    /// Answers at once what no server has to be asked. True where it did.
    pub(super) fn answer_alone(&mut self, number: u64, now: Instant) -> bool {
        let Some(request) = self.pending.get(number) else {
            return true;
        };
        if matches!(self.link, Link::Up | Link::Announced) && self.is_stale(number) {
            self.refuse(number, libc::ESTALE);
            return true;
        }
        if self.is_given_up(now) && !self.must_wait(&request.effect) {
            self.refuse(number, libc::EIO);
            return true;
        }
        if matches!(self.link, Link::Gone | Link::Silent { .. }) && self.is_let_go_alone(number) {
            self.refuse(number, libc::EIO);
            return true;
        }
        false
    }

    fn is_stale(&self, number: u64) -> bool {
        let touched = self
            .pending
            .get(number)
            .map_or([None; 2], |request| request.touched);
        touched
            .into_iter()
            .flatten()
            .any(|fid| self.fids.get(fid).is_some_and(|fid| fid.is_stale()))
    }

    /// True for the clunk of a fid that only a dead server knew, and that nothing else is about.
    fn is_let_go_alone(&self, number: u64) -> bool {
        match self.pending.get(number).map(|request| &request.effect) {
            Some(&Effect::Clunk(fid)) => {
                let sets = self.fids.get(fid).is_some_and(|fid| fid.xattr.is_some());
                !sets && !self.pending.touches(fid, Some(number))
            }
            _ => false,
        }
    }

    pub(super) fn let_go_alone(&mut self) {
        for number in self.pending.numbers() {
            if self.is_let_go_alone(number) {
                self.refuse(number, libc::EIO);
            }
        }
    }

    /// Refuses, before they are sent again, requests about files that are gone. What a server may have done is asked
    /// all the same: its ledger knows, and needs no fid.
    pub(super) fn refuse_stale(&mut self) {
        for number in self.pending.numbers() {
            let may_be_done = self
                .pending
                .get(number)
                .is_some_and(|request| request.id.is_some() && !request::is_repeatable(request.kind()));
            if self.is_stale(number) && !may_be_done {
                self.refuse(number, libc::ESTALE);
            }
        }
    }

    /// Answers a request instead of the server. A clunk and a flush can't fail.
    fn refuse(&mut self, number: u64, errno: i32) {
        let is_seen = matches!(self.link, Link::Up | Link::Announced)
            && self
                .pending
                .get(number)
                .is_some_and(|request| request.id.is_some());
        let request = if is_seen {
            self.pending.abandon(number)
        } else {
            self.pending.remove(number)
        };
        let Some(request) = request else {
            return;
        };
        match request.effect {
            Effect::Flush(_) => self.answer_flush(request.tag),
            Effect::Clunk(fid) => {
                self.fids.remove(fid);
                self.to_kernel
                    .push(Message::new(wire::TCLUNK + 1, request.tag).done());
            }
            Effect::Remove(fid) => {
                self.fids.remove(fid);
                self.to_kernel.push(wire::refusal(request.tag, errno));
            }
            _ => self.to_kernel.push(wire::refusal(request.tag, errno)),
        }
    }
}
