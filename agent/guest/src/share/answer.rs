//! What an answer of the server changes of what the bridge knows, before it goes on to the kernel.

use std::time::Instant;

use bytes::BytesMut;

use super::bridge::{Bridge, Link};
use super::fids::{self, Fid, Path, Xattr};
use super::locks::{Lock, UNLOCK};
use super::pending::TAGS;
use super::replay::OWN_TAG;
use super::request::{Effect, Request};
use super::wire::{self, Fields};

impl Bridge {
    /// Takes a whole message of the server.
    pub(super) fn take_answer(&mut self, mut answer: BytesMut, now: Instant) {
        let tag = wire::tag(&answer);
        if wire::kind(&answer) == wire::NOTICE {
            return self.notices.take(&answer);
        }
        match self.link {
            Link::Replaying(_) => return self.on_replay(&answer, now),
            // A server that knows no Treplay does again what it is sent again.
            Link::Announced if tag == OWN_TAG => return self.on_announced(),
            _ => {}
        }
        let is_own = (TAGS..wire::NO_TAG).contains(&tag);
        // What was given up, or never asked.
        let Some(number) = self.pending.by_wire(tag).filter(|_| !is_own) else {
            return;
        };
        let Some(request) = self.pending.get(number) else {
            return;
        };
        let kind = wire::kind(&answer);
        if (kind != wire::RLERROR && kind != request.kind() + 1) || answer.len() > request.longest_answer() {
            self.break_session(now);
            return;
        }
        if request.id.is_none() {
            return;
        }
        let Some(request) = self.pending.abandon(number) else {
            return;
        };
        if let Effect::Ahead(ahead) = request.effect {
            self.pending.free_tag(tag);
            return self.take_ahead(ahead, number, answer, now);
        }
        match wire::errno(&answer) {
            Some(errno) => self.refused(&request, errno, &mut answer),
            None if self.granted(&request, number, &answer).is_none() => {
                // No server says that: the next one may know better.
                self.pending.put_back(number, request);
                self.break_session(now);
                return;
            }
            None => {}
        }
        self.pending.free_tag(tag);
        if matches!(request.effect, Effect::Rename { .. } | Effect::RenameAt { .. }) {
            self.fids.forget_rename(number);
        }
        wire::set_tag(&mut answer, request.tag);
        self.to_kernel.push(answer.freeze());
    }

    fn refused(&mut self, request: &Request, errno: i32, answer: &mut BytesMut) {
        match request.effect {
            // Both let go of the fid in any case.
            Effect::Clunk(fid) | Effect::Remove(fid) => drop(self.fids.remove(fid)),
            _ => {}
        }
        let reason = |fid: u32| {
            let fid = self.fids.get(fid)?;
            fid.is_stale().then_some(libc::ESTALE).or(fid.refused)
        };
        if errno == libc::EBADF
            && let Some(errno) = request.touched.into_iter().flatten().find_map(reason)
        {
            *answer = BytesMut::from(&wire::refusal(0, errno)[..]);
        }
    }

    /// None, and nothing is changed, where the answer lacks what it must have.
    pub(super) fn granted(&mut self, request: &Request, number: u64, answer: &[u8]) -> Option<()> {
        let mut fields = Fields::of(answer);
        match &request.effect {
            Effect::None | Effect::Ahead(_) => {}
            // The kernel takes the lesser too.
            Effect::Version => self.msize = Some(fields.u32()?.min(wire::MSIZE)),
            Effect::Attach { fid, login } => {
                let root = Fid::new(login.clone(), Path::new(), fields.qid()?);
                self.fids.insert(*fid, root);
            }
            Effect::Walk { from, to, names } => self.walked(*from, *to, names, fields)?,
            Effect::Open { fid, flags } => {
                let qid = fields.qid()?;
                if let Some(fid) = self.fids.get_mut(*fid) {
                    fid.qid = qid;
                    fid.open = Some(fids::flags_again(*flags));
                }
            }
            Effect::Create { fid, name, flags } => {
                let (qid, path) = (fields.qid()?, self.fids.path_in(*fid, name));
                if let Some((old, path)) = self.fids.get(*fid).zip(path) {
                    let mut made = Fid::new(old.login.clone(), path, qid);
                    made.open = Some(fids::flags_again(*flags));
                    self.fids.insert(*fid, made);
                }
            }
            Effect::Rename { .. } | Effect::RenameAt { .. } | Effect::Unlink { .. } | Effect::Remove(_) => {
                self.renamed(&request.effect, number);
            }
            Effect::Clunk(fid) => drop(self.fids.remove(*fid)),
            Effect::XattrWalk { .. } | Effect::XattrCreate { .. } => self.stands_for_xattr(&request.effect),
            Effect::Write(fid) => self.written(*fid, request, fields.u32()?)?,
            Effect::Lock { fid, lock } => {
                const GRANTED: u8 = 0;
                if fields.u8()? == GRANTED && lock.kind != UNLOCK {
                    self.fids.lock(*fid, lock);
                }
            }
            // In its place no answer comes any more.
            Effect::Flush(old) => {
                self.pending.remove(*old);
            }
        }
        Some(())
    }

    /// A name is another one's or nobody's.
    fn renamed(&mut self, effect: &Effect, number: u64) {
        match effect {
            Effect::Rename { .. } | Effect::RenameAt { .. } => {
                if let Some((old, new)) = self.rename_of(effect) {
                    self.fids.rename(&old, &new, number);
                }
            }
            Effect::Unlink { directory, name } => {
                if let Some(path) = self.fids.path_in(*directory, name) {
                    self.fids.unlink(&path);
                }
            }
            Effect::Remove(fid) => {
                if let Some(removed) = self.fids.remove(*fid) {
                    self.fids.unlink(&removed.path);
                }
            }
            _ => {}
        }
    }

    fn walked(&mut self, from: u32, to: u32, names: &[Box<[u8]>], mut fields: Fields<'_>) -> Option<()> {
        let count = usize::from(fields.u16()?);
        if count > names.len() {
            return None;
        }
        let Some(start) = self.fids.get(from) else {
            return Some(());
        };
        // A walk that ends early makes no fid.
        if count == names.len() {
            let mut end = Fid::new(start.login.clone(), fids::join(&start.path, names), start.qid);
            end.health = if names.is_empty() {
                start.health
            } else {
                end.health
            };
            end.moved_by.clone_from(&start.moved_by);
            for _ in 0..count {
                end.qid = fields.qid()?;
            }
            self.fids.insert(to, end);
        }
        Some(())
    }

    /// A fid is an attribute's from now on.
    fn stands_for_xattr(&mut self, effect: &Effect) {
        let (from, to, xattr) = match effect {
            Effect::XattrWalk { from, to, name } => (from, to, Xattr::Read { name: name.clone() }),
            Effect::XattrCreate {
                fid,
                name,
                size,
                flags,
            } => {
                let (name, data) = (name.clone(), Vec::new());
                (
                    fid,
                    fid,
                    Xattr::Write {
                        name,
                        size: *size,
                        flags: *flags,
                        data,
                    },
                )
            }
            _ => return,
        };
        if let Some(file) = self.fids.get(*from) {
            let mut fid = Fid::new(file.login.clone(), file.path.clone(), file.qid);
            fid.xattr = Some(xattr);
            self.fids.insert(*to, fid);
        }
    }

    /// Only what is written of an attribute must be known: nobody keeps that until it is let go of.
    fn written(&mut self, fid: u32, request: &Request, count: u32) -> Option<()> {
        if let Some(fid) = self.fids.get_mut(fid).filter(|fid| fid.xattr.is_some()) {
            let mut asked = Fields::of(&request.bytes);
            asked.u32();
            let offset = asked.u64()?;
            let data = asked.data()?;
            fid.write_xattr(offset, data.get(..count as usize)?);
        }
        Some(())
    }

    /// From the moment at which a lock is given up, no new server is told of it.
    pub(super) fn unlock_before(&mut self, fid: u32, lock: &Lock) {
        if lock.kind == UNLOCK {
            self.fids.lock(fid, lock);
        }
    }

    pub(super) fn rename_of(&self, effect: &Effect) -> Option<(Path, Path)> {
        match effect {
            Effect::Rename { fid, into, name } => {
                Some((self.fids.get(*fid)?.path.clone(), self.fids.path_in(*into, name)?))
            }
            Effect::RenameAt { from, old, into, new } => {
                Some((self.fids.path_in(*from, old)?, self.fids.path_in(*into, new)?))
            }
            _ => None,
        }
    }
}
