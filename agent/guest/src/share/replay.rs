//! Tells a new server what the last one knew: version, logins, and each fid with its path, its open file and its locks.
//!
//! A fid is a chain of messages, one after the other; some chains go at once. What a chain can't restore is stale, and the
//! others go on.

use std::rc::Rc;

use bytes::Bytes;

use super::chain::{Chain, Next};
use super::fids::{Fids, Login};
use super::moves::{Move, Place};
use super::outbox::Outbox;
use super::pending::TAGS;
use super::wire::{self, Message};

/// Chains under way at once, each with a tag that the kernel's requests never have.
const AT_ONCE: usize = 8;
/// Fids of the bridge's own: the kernel counts from 0.
const OWN_FIDS: u32 = 0xf000_0000;
const NO_FID: u32 = u32::MAX;

/// The tag of what the bridge asks for itself.
pub const OWN_TAG: u16 = TAGS + AT_ONCE as u16;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Version,
    Logins,
    Fids,
    LogOut,
}

enum Job {
    LogIn(usize),
    Fid(Chain),
    LogOut(usize),
}

/// What an answer has brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    Going,
    /// All that can be there is.
    Done,
    /// Nothing can be made of this server.
    Failed,
}

pub struct Replay {
    stage: Stage,
    msize: u32,
    logins: Vec<Rc<Login>>,
    moves: Vec<Move>,
    /// The next come last.
    waiting: Vec<Job>,
    running: [Option<Job>; AT_ONCE],
    /// Fids that a rename has moved which was never answered.
    found: Vec<(u32, Place)>,
}

impl Replay {
    pub fn begin(msize: u32, moves: Vec<Move>, out: &mut Outbox) -> Self {
        let version = Message::new(wire::TVERSION, wire::NO_TAG)
            .u32(msize)
            .string(wire::VERSION);
        out.push(version.done());
        Self {
            stage: Stage::Version,
            msize,
            logins: Vec::new(),
            moves,
            waiting: Vec::new(),
            running: Default::default(),
            found: Vec::new(),
        }
    }

    /// Takes the answer to one of its own; any other is not for it.
    pub fn answer(&mut self, answer: &[u8], fids: &mut Fids, out: &mut Outbox) -> Progress {
        let tag = wire::tag(answer);
        if tag == wire::NO_TAG && self.stage == Stage::Version {
            if !is_version(answer, self.msize) {
                return Progress::Failed;
            }
            self.stage = Stage::Logins;
            self.list_logins(fids);
            return self.go_on(fids, out);
        }
        let slot = usize::from(tag.wrapping_sub(TAGS));
        let Some(job) = self.running.get_mut(slot).and_then(Option::take) else {
            return Progress::Going;
        };
        if let Job::Fid(mut chain) = job {
            match chain.answer(answer, fids) {
                Next::Message => {
                    out.push(chain.message(tag, fids));
                    self.running[slot] = Some(Job::Fid(chain));
                }
                Next::Over => self.found.extend(chain.found()),
            }
        }
        self.go_on(fids, out)
    }

    fn list_logins(&mut self, fids: &Fids) {
        for (_, fid) in fids.iter() {
            if !self.logins.contains(&fid.login) {
                self.logins.push(fid.login.clone());
            }
        }
        self.waiting = (0..self.logins.len()).map(Job::LogIn).collect();
    }

    /// Begins as many as may go at once, and the next stage where all of one are done.
    fn go_on(&mut self, fids: &mut Fids, out: &mut Outbox) -> Progress {
        loop {
            while let Some(slot) = self.running.iter().position(Option::is_none)
                && let Some(job) = self.waiting.pop()
            {
                out.push(message(&job, &self.logins, TAGS + slot as u16, fids));
                self.running[slot] = Some(job);
            }
            if self.running.iter().any(Option::is_some) {
                return Progress::Going;
            }
            match self.stage {
                Stage::Logins => {
                    self.stage = Stage::Fids;
                    self.list_fids(fids);
                }
                Stage::Fids => {
                    self.stage = Stage::LogOut;
                    self.waiting = (0..self.logins.len()).map(Job::LogOut).collect();
                }
                Stage::Version | Stage::LogOut => {
                    self.settle(fids);
                    return Progress::Done;
                }
            }
        }
    }

    fn settle(&mut self, fids: &mut Fids) {
        for (number, mut place) in self.found.drain(..) {
            if let Some(fid) = fids.get_mut(number) {
                fid.path = place.path;
                fid.moved_by.append(&mut place.moved_by);
            }
        }
    }

    fn list_fids(&mut self, fids: &mut Fids) {
        let mut chains = Vec::new();
        for (number, fid) in fids.iter() {
            let login = self.logins.iter().position(|login| *login == fid.login);
            let root = login_fid(login.unwrap_or(0));
            chains.extend(Chain::new(number, fid, root, &self.moves));
        }
        self.waiting = chains.into_iter().rev().map(Job::Fid).collect();
    }
}

const fn login_fid(index: usize) -> u32 {
    OWN_FIDS + index as u32
}

fn message(job: &Job, logins: &[Rc<Login>], tag: u16, fids: &Fids) -> Bytes {
    match job {
        Job::LogIn(index) => {
            let login = &logins[*index];
            Message::new(wire::TATTACH, tag)
                .u32(login_fid(*index))
                .u32(NO_FID)
                .string(&login.user)
                .string(&login.tree)
                .u32(login.uid)
                .done()
        }
        Job::Fid(chain) => chain.message(tag, fids),
        Job::LogOut(index) => Message::new(wire::TCLUNK, tag).u32(login_fid(*index)).done(),
    }
}

/// True where the server takes messages as long as the kernel was told it may send.
fn is_version(answer: &[u8], msize: u32) -> bool {
    let mut fields = wire::Fields::of(answer);
    wire::kind(answer) == wire::TVERSION + 1
        && fields.u32().is_some_and(|longest| longest >= msize)
        && fields.string().is_some_and(|version| *version == *wire::VERSION)
}
