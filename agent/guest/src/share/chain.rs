//! One fid, told to a new server: walk, open, lock, or an attribute that was under way.

use bytes::Bytes;

use super::fids::{Fid, Fids, Health, Xattr, flags_again};
use super::moves::{self, Move, Place};
use super::wire::{self, Fields, MAX_WALK, Message, Qid};

/// Behind the fids for logins, one for each tag.
const HELPERS: u32 = 0xf800_0000;
/// What the least message takes of an attribute, with room for the header.
const PIECE: usize = 4000;

#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// `message` says what comes next.
    Message,
    /// The fid is as it was, or stale.
    Over,
}

/// The message under way.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// So many names have been walked.
    Walk(usize),
    Open,
    Lock(usize),
    ReadXattr,
    /// Let go of what stood for the file of an attribute that is read.
    DropHelper,
    MakeXattr,
    /// From this byte on.
    WriteXattr(usize),
    /// Let go of a fid that is not what it was.
    Undo,
}

pub struct Chain {
    fid: u32,
    root: u32,
    step: Step,
    place: Place,
    /// The next come last.
    others: Vec<Place>,
    qid: Option<Qid>,
    is_found: bool,
}

impl Chain {
    /// None for a fid that no server can find again.
    pub fn new(number: u32, fid: &Fid, root: u32, moves: &[Move]) -> Option<Self> {
        if fid.health == Health::Lost {
            return None;
        }
        let mut places = moves::places(&fid.path, moves);
        places.reverse();
        let place = places.pop()?;
        Some(Self {
            fid: number,
            root,
            step: Step::Walk(0),
            place,
            others: places,
            qid: None,
            is_found: false,
        })
    }

    /// What the walk leads to: for an attribute that is read the file gets a fid of its own.
    fn target(&self, tag: u16, fid: &Fid) -> u32 {
        match fid.xattr {
            Some(Xattr::Read { .. }) => HELPERS + u32::from(tag),
            _ => self.fid,
        }
    }

    pub fn message(&self, tag: u16, fids: &Fids) -> Bytes {
        let Some(fid) = fids.get(self.fid) else {
            // Nobody takes a fid away while it is told.
            return Message::new(wire::TCLUNK, tag).u32(self.fid).done();
        };
        let target = self.target(tag, fid);
        let to = |kind, fid| Message::new(kind, tag).u32(fid);
        let xattr = fid.xattr.as_ref();
        match (self.step, xattr) {
            (Step::Walk(done), _) => {
                let names = self.names_after(done);
                let from = if done == 0 { self.root } else { target };
                let walk = to(wire::TWALK, from).u32(target).u16(names.len() as u16);
                names.iter().fold(walk, |walk, name| walk.string(name)).done()
            }
            (Step::Open, _) => to(wire::TLOPEN, self.fid)
                .u32(flags_again(fid.open.unwrap_or(0)))
                .done(),
            (Step::Lock(index), _) if let Some(lock) = fid.locks.get(index) => to(wire::TLOCK, self.fid)
                .u8(lock.kind)
                .u32(0)
                .u64(lock.start)
                .u64(lock.length())
                .u32(lock.owner.process)
                .string(&lock.owner.client)
                .done(),
            (Step::ReadXattr, Some(Xattr::Read { name })) => {
                to(wire::TXATTRWALK, target).u32(self.fid).string(name).done()
            }
            (
                Step::MakeXattr,
                Some(Xattr::Write {
                    name, size, flags, ..
                }),
            ) => to(wire::TXATTRCREATE, self.fid)
                .string(name)
                .u64(*size)
                .u32(*flags)
                .done(),
            (Step::WriteXattr(from), Some(Xattr::Write { data, .. })) => {
                let end = data.len().min(from + PIECE);
                to(wire::TWRITE, self.fid)
                    .u64(from as u64)
                    .data(&data[from..end])
                    .done()
            }
            _ => to(wire::TCLUNK, target).done(),
        }
    }

    fn names_after(&self, done: usize) -> &[Box<[u8]>] {
        let names = &self.place.path[done..];
        &names[..names.len().min(MAX_WALK)]
    }

    /// Takes the answer to the last message.
    pub fn answer(&mut self, answer: &[u8], fids: &mut Fids) -> Next {
        let Some(fid) = fids.get_mut(self.fid) else {
            return Next::Over;
        };
        let granted = wire::errno(answer).is_none();
        let next = match self.step {
            Step::Walk(done) => match self.walked(answer, done) {
                Some(Step::Open) if self.is_another(fid) => Some(Step::Undo),
                // The target is there from the first walk on.
                None if done > 0 => Some(Step::Undo),
                None => return self.try_other(fid),
                Some(Step::Open) => self.after_walk(fid),
                step => step,
            },
            Step::DropHelper => None,
            Step::Undo => return self.try_other(fid),
            _ if !granted => Some(Step::Undo),
            Step::Lock(_) if answer.get(wire::HEADER) != Some(&0) => {
                // Somebody else got it meanwhile: whoever believes to hold it must hear of it.
                fid.health = Health::Lost;
                self.others.clear();
                Some(Step::Undo)
            }
            Step::Open => lock_step(fid, 0),
            Step::Lock(index) => lock_step(fid, index + 1),
            Step::ReadXattr => Some(Step::DropHelper),
            Step::MakeXattr => write_step(fid, 0),
            Step::WriteXattr(from) => write_step(fid, from + PIECE),
        };
        match next {
            Some(step) => {
                self.step = step;
                Next::Message
            }
            None => {
                self.settle(fid);
                Next::Over
            }
        }
    }

    /// What follows a walk: more of it, `Open` where it is complete, None where it leads nowhere.
    fn walked(&mut self, answer: &[u8], done: usize) -> Option<Step> {
        let asked = self.names_after(done).len();
        if wire::kind(answer) != wire::TWALK + 1 {
            return None;
        }
        let mut fields = Fields::of(answer);
        let count = usize::from(fields.u16()?);
        if count != asked {
            return None;
        }
        for _ in 0..count {
            self.qid = Some(fields.qid()?);
        }
        let done = done + count;
        Some(if done < self.place.path.len() {
            Step::Walk(done)
        } else {
            Step::Open
        })
    }

    /// True where an open file would go on as another one.
    fn is_another(&self, fid: &Fid) -> bool {
        let is_file = fid.open.is_some() && !fid.qid.is_directory();
        is_file && self.qid.is_some_and(|qid| qid.path != fid.qid.path)
    }

    fn after_walk(&self, fid: &Fid) -> Option<Step> {
        match (&fid.xattr, fid.open) {
            (Some(Xattr::Read { .. }), _) => Some(Step::ReadXattr),
            (Some(Xattr::Write { .. }), _) => Some(Step::MakeXattr),
            (None, Some(_)) => Some(Step::Open),
            (None, None) => None,
        }
    }

    fn try_other(&mut self, fid: &mut Fid) -> Next {
        let Some(place) = self.others.pop() else {
            if fid.health == Health::Fine {
                fid.health = Health::Stale;
            }
            return Next::Over;
        };
        self.place = place;
        self.step = Step::Walk(0);
        self.qid = None;
        Next::Message
    }

    fn settle(&mut self, fid: &mut Fid) {
        fid.health = Health::Fine;
        fid.qid = self.qid.unwrap_or(fid.qid);
        self.is_found = true;
    }

    /// Where it was found, if another place than it was known to be at. To be told to the table once all are told to the
    /// server: paths that are half of before and half of after would mislead the next replay.
    pub fn found(self) -> Option<(u32, Place)> {
        (self.is_found && !self.place.moved_by.is_empty()).then_some((self.fid, self.place))
    }
}

fn lock_step(fid: &Fid, index: usize) -> Option<Step> {
    fid.locks.get(index).map(|_| Step::Lock(index))
}

fn write_step(fid: &Fid, from: usize) -> Option<Step> {
    match &fid.xattr {
        Some(Xattr::Write { data, .. }) if from < data.len() => Some(Step::WriteXattr(from)),
        _ => None,
    }
}
