//! One connection's messages: which request is which, what an earlier server did of it, and who answers.

use std::collections::HashMap;

use rustix::io::Errno;

use super::{attributes, create, directory, extended, lock, make, open, remove, walk};
use crate::failpoint::{Point, pass};
use crate::ledger::{Entry, NO_ID, SLOTS, hash};
use crate::state::{Request, State};
use crate::wire::{Answer, Body, HEADER, MAX_MESSAGE, Qid, kind};

/// Of the requests that a bridge may announce at once.
const MAX_REPLAYED: u16 = SLOTS as u16;

pub struct Session<'a> {
    state: &'a mut State,
    /// The id of the next request; None while a bridge makes again what the guest had.
    next: Option<u64>,
    /// Requests that come again, by their tags.
    again: HashMap<u16, u64>,
}

impl<'a> Session<'a> {
    /// @param resumed the guest goes on where another server ended
    /// @param tells the bridge takes what the host has changed
    pub fn new(state: &'a mut State, resumed: bool, tells: bool) -> Self {
        state.reset();
        state.lenient = resumed;
        state.tells = tells;
        if let Some(watches) = &mut state.watches {
            watches.clear();
        }
        state.msize = MAX_MESSAGE;
        if !resumed {
            state.ledger.clear();
        }
        Self {
            state,
            next: (!resumed).then_some(0),
            again: HashMap::new(),
        }
    }

    pub fn msize(&self) -> u32 {
        self.state.msize
    }

    pub fn state(&mut self) -> &mut State {
        self.state
    }

    /// @param message whole, its length checked
    pub fn handle(&mut self, message: &[u8], out: &mut Vec<u8>) {
        let (kind, tag) = (message[4], u16::from_le_bytes([message[5], message[6]]));
        let mut answer = Answer::begin(out, kind.wrapping_add(1), tag);
        let body = Body::new(&message[HEADER..]);
        let result = match kind {
            kind::REPLAY => self.replay(body).map(|()| true),
            _ => {
                let request = self.request(kind, tag, message);
                if let Some(watches) = self.state.watching().filter(|_| may_change(kind)) {
                    watches.collect();
                }
                let result = if is_once(kind) {
                    self.once(&request, body, &mut answer).map(|()| true)
                } else {
                    plain(self.state, &request, body, &mut answer)
                };
                if let Some(watches) = self.state.watching().filter(|_| may_change(kind)) {
                    watches.discard();
                }
                result
            }
        };
        match result {
            Ok(true) => answer.end(),
            Ok(false) => answer.cancel(),
            Err(errno) => answer.fail(errno),
        }
    }

    fn request(&mut self, kind: u8, tag: u16, message: &[u8]) -> Request {
        let announced = self.again.remove(&tag);
        if kind == kind::VERSION && self.next.is_some() {
            // The guest's kernel mounts anew: numbers begin with this.
            self.state.ledger.clear();
            self.next = Some(0);
        }
        let id = announced.or(self.next).unwrap_or(NO_ID);
        if announced.is_none() {
            self.next = self.next.map(|next| next + 1);
        }
        let hash = if is_once(kind) { hash(message) } else { 0 };
        let entry = Entry { tag, id, hash };
        let again = announced.is_some();
        let note = (again && is_once(kind))
            .then(|| self.state.ledger.find(&entry))
            .flatten();
        Request {
            kind,
            entry,
            again,
            note,
        }
    }

    /// Treplay: which requests come again, under which ids, and which id the next new one has.
    fn replay(&mut self, mut body: Body) -> Result<(), Errno> {
        let (next, count) = (body.u64()?, body.u16()?);
        if self.next.is_some() || count > MAX_REPLAYED || next >= NO_ID - u64::from(u32::MAX) {
            return Err(Errno::INVAL);
        }
        let pairs: Vec<_> = (0..count)
            .map(|_| Ok((body.u16()?, body.u64()?)))
            .collect::<Result<_, Errno>>()?;
        body.end()?;
        self.again = pairs.into_iter().collect();
        self.next = Some(next);
        self.state.lenient = false;
        Ok(())
    }

    /// A request that must not be done twice.
    fn once(&mut self, request: &Request, body: Body, answer: &mut Answer) -> Result<(), Errno> {
        if usize::from(request.entry.tag) >= SLOTS && request.kind != kind::CLUNK {
            return Err(Errno::NOBUFS);
        }
        let outcome = match request.note.and_then(|note| note.outcome) {
            // The file has to be opened again.
            Some(Ok(_)) if request.kind == kind::CREATE => create::lcreate(self.state, request, body),
            Some(done) => {
                if request.kind == kind::CLUNK {
                    let _ = open::forget(self.state, body);
                }
                done
            }
            None => {
                let outcome = act(self.state, request, body);
                self.state.ledger.finish(&request.entry, outcome);
                pass(Point::Done, request.kind);
                outcome
            }
        };
        let qid = outcome?;
        match request.kind {
            kind::MKDIR | kind::SYMLINK | kind::MKNOD => answer.qid(qid),
            kind::CREATE => {
                answer.qid(qid);
                answer.u32(0); // as much at once as a message holds
            }
            _ => {}
        }
        Ok(())
    }
}

fn is_once(kind: u8) -> bool {
    use kind::{CLUNK, CREATE, LINK, MKDIR, MKNOD, RENAME, SYMLINK, UNLINK};
    // A clunk is what sets an attribute.
    matches!(
        kind,
        CLUNK | CREATE | LINK | MKDIR | MKNOD | RENAME | SYMLINK | UNLINK
    )
}

/// What the host's watchers see of it is the guest's own doing.
fn may_change(kind: u8) -> bool {
    is_once(kind) || matches!(kind, kind::WRITE | kind::SETATTR | kind::OPEN)
}

fn act(state: &mut State, request: &Request, body: Body) -> Result<Qid, Errno> {
    let none = |()| Qid::default();
    match request.kind {
        kind::CREATE => create::lcreate(state, request, body),
        kind::MKDIR => make::mkdir(state, request, body),
        kind::SYMLINK => make::symlink(state, request, body),
        kind::MKNOD => make::mknod(state, request, body),
        kind::LINK => make::link(state, request, body).map(none),
        kind::RENAME => remove::rename(state, request, body).map(none),
        kind::UNLINK => remove::unlink(state, request, body).map(none),
        _ => open::clunk(state, request, body).map(none),
    }
}

/// @returns false: nothing is answered now
fn plain(state: &mut State, request: &Request, body: Body, answer: &mut Answer) -> Result<bool, Errno> {
    match request.kind {
        kind::WALK => walk::walk(state, body, answer),
        kind::GETATTR => attributes::getattr(state, body, answer),
        kind::READ => open::read(state, body, answer),
        kind::WRITE => open::write(state, body, answer),
        kind::OPEN => open::lopen(state, request, body, answer),
        kind::READDIR => directory::readdir(state, body, answer),
        kind::READLINK => attributes::readlink(state, body, answer),
        kind::SETATTR => attributes::setattr(state, request, body),
        kind::STATFS => attributes::statfs(state, body, answer),
        kind::XATTR_WALK => extended::walk(state, body, answer),
        kind::XATTR_CREATE => extended::create(state, body),
        kind::GETLOCK => lock::getlock(state, body, answer),
        kind::VERSION => walk::version(state, body, answer),
        kind::ATTACH => walk::attach(state, body, answer),
        kind::REMOVE => open::remove(state, body),
        kind::LOCK => return lock::lock(state, request, body, answer),
        kind::FSYNC => return open::fsync(state, request, body).map(|()| false),
        kind::FLUSH => return flush(state, request, body),
        #[cfg(feature = "host-test")]
        super::told::KIND => super::told::told(body, answer),
        _ => Err(Errno::OPNOTSUPP),
    }?;
    Ok(true)
}

fn flush(state: &mut State, request: &Request, mut body: Body) -> Result<bool, Errno> {
    let old = body.u16()?;
    body.end()?;
    Ok(!state.jobs.flush(request.entry.tag, old))
}
