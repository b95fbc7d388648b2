//! A session begins: what the new server is told before it serves.

use std::time::Instant;

use bytes::Bytes;

use super::bridge::{Bridge, Link};
use super::hello::Hello;
use super::moves::{self, Move};
use super::replay::{OWN_TAG, Progress, Replay};
use super::wire::{self, Message};

impl Bridge {
    /// A server says hello.
    pub(super) fn begin_session(&mut self, hello: &Hello, now: Instant) {
        self.to_server.clear();
        self.lose_session(now);
        let answer = hello.answer(self.msize.is_some(), self.notices.is_wanted());
        self.to_server.push(Bytes::copy_from_slice(&answer));
        let Some(msize) = self.msize else {
            // Nothing is mounted yet: what was asked is asked as if for the first time.
            self.next_id = 0;
            for number in self.pending.numbers() {
                if let Some(request) = self.pending.get_mut(number) {
                    request.id = None;
                }
                self.send(number);
            }
            self.come_up();
            return;
        };
        let moves = self.possible_moves();
        self.link = Link::Replaying(Box::new(Replay::begin(msize, moves, &mut self.to_server)));
    }

    fn come_up(&mut self) {
        self.link = Link::Up;
        self.away_since = None;
    }

    /// Renames that the last server may have done.
    fn possible_moves(&self) -> Vec<Move> {
        let seen = self.pending.iter().filter(|(_, request)| request.id.is_some());
        moves::moves(seen.filter_map(|(number, request)| {
            let (old, new) = self.rename_of(&request.effect)?;
            Some((number, old, new))
        }))
    }

    pub(super) fn on_replay(&mut self, answer: &[u8], now: Instant) {
        let Link::Replaying(replay) = &mut self.link else {
            return;
        };
        match replay.answer(answer, &mut self.fids, &mut self.to_server) {
            Progress::Going => {}
            Progress::Failed => self.break_session(now),
            Progress::Done => {
                self.refuse_stale();
                let again: Vec<_> = self
                    .pending
                    .iter()
                    .filter_map(|(_, request)| Some((wire::tag(&request.bytes), request.id?)))
                    .collect();
                let announced = Message::new(wire::TREPLAY, OWN_TAG)
                    .u64(self.next_id)
                    .u16(again.len() as u16);
                let add = |message: Message, &(tag, id): &(u16, u64)| message.u16(tag).u64(id);
                self.to_server.push(again.iter().fold(announced, add).done());
                self.link = Link::Announced;
            }
        }
    }

    /// The server has heard which requests come again: here they are, and the new ones behind.
    pub(super) fn on_announced(&mut self) {
        let (again, new): (Vec<_>, Vec<_>) = self
            .pending
            .iter()
            .map(|(number, request)| (number, request.id))
            .partition(|(_, id)| id.is_some());
        for (number, _) in again.into_iter().chain(new) {
            self.send(number);
        }
        self.come_up();
    }
}
