//! What one server has: the share, and all that the connected guest holds of it.

use std::sync::Arc;

use rustix::io::Errno;

use crate::fids::Fids;
use crate::jobs::Jobs;
use crate::ledger::{Entry, Ledger, Note};
use crate::lock_table::Locks;
use crate::map::Owners;
use crate::node::{Node, qid_of};
use crate::watches::Watches;
use crate::wire::{Answer, MAX_MESSAGE, NO_TAG, Qid, kind};

pub struct Share {
    pub root: Arc<Node>,
    pub owners: Owners,
    pub read_only: bool,
    /// The one name of the root that there is.
    pub only: Option<Vec<u8>>,
    /// It is the root of everything.
    pub jailed: bool,
}

impl Share {
    /// The file system that it begins on.
    pub fn home(&self) -> u64 {
        self.root.inode.dev
    }

    pub fn qid(&self, node: &Node) -> Result<Qid, Errno> {
        Ok(qid_of(&node.stat()?, self.home()))
    }

    /// The host has not moved it out.
    pub fn check_inside(&self, node: &Node) -> Result<(), Errno> {
        if !self.jailed || node.inode == self.root.inode {
            return Ok(());
        }
        crate::inside::check(&self.root, node)
    }

    pub fn check_writable(&self) -> Result<(), Errno> {
        if self.read_only { Err(Errno::ROFS) } else { Ok(()) }
    }

    /// It is shared itself, and no more than what a shared file lies in: that directory is there to find the file, and
    /// its mode, times, attributes and locks are the host's alone.
    pub fn check_shared(&self, node: &Node) -> Result<(), Errno> {
        if self.only.is_some() && node.inode == self.root.inode {
            return Err(Errno::PERM);
        }
        self.check_inside(node)
    }

    /// Names come and go: not where one file is all that is shared.
    pub fn check_names_change(&self) -> Result<(), Errno> {
        self.check_writable()?;
        if self.only.is_some() {
            Err(Errno::PERM)
        } else {
            Ok(())
        }
    }

    /// What `name` is in `dir`, where the guest may know of it.
    pub fn look(&self, dir: &Node, name: &[u8]) -> Result<Node, Errno> {
        if self.only.as_deref().is_some_and(|only| only != name) {
            crate::names::check(name)?;
            return Err(Errno::NOENT);
        }
        dir.child(name)
    }
}

pub struct State {
    pub share: Share,
    pub fids: Fids,
    pub locks: Locks,
    pub jobs: Jobs,
    pub ledger: Ledger,
    /// Agreed with the guest: no message is longer.
    pub msize: u32,
    /// The bridge makes again what a dead server held: files that are the server's own are opened whatever their mode
    /// says now, because it may have changed since (git writes into files of mode 0444).
    pub lenient: bool,
    /// Where host changes are told, and the bridge takes them.
    pub watches: Option<Watches>,
    pub tells: bool,
}

impl State {
    pub fn new(share: Share, fids: usize, ledger: Ledger, jobs: Jobs, watches: Option<Watches>) -> Self {
        let (fids, locks) = (Fids::new(fids), Locks::default());
        Self {
            share,
            fids,
            locks,
            jobs,
            ledger,
            msize: MAX_MESSAGE,
            lenient: false,
            watches,
            tells: false,
        }
    }

    /// The guest holds nothing any more.
    pub fn reset(&mut self) {
        self.jobs.reset();
        self.locks.clear();
        self.fids.clear();
        self.lenient = false;
    }

    /// What is watched for a bridge that takes it.
    pub fn watching(&mut self) -> Option<&mut Watches> {
        self.watches.as_mut().filter(|_| self.tells)
    }

    /// Writes what the host has changed: path[s] of each name, from the root.
    pub fn tell_changes(&mut self, out: &mut Vec<u8>) {
        let (root, only) = (self.share.root.clone(), self.share.only.clone());
        let Some(watches) = self.watching() else { return };
        watches.collect();
        while let Some(change) = watches.take() {
            let hidden = only.as_ref().is_some_and(|only| *only != change.name);
            let Some(mut path) = crate::inside::path_of(&root, &change.dir).filter(|_| !hidden) else {
                continue;
            };
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(&change.name);
            let mut notice = Answer::begin(out, kind::NOTICE, NO_TAG);
            notice.text(&path);
            notice.end();
        }
    }

    pub fn directory(&self, fid: u32) -> Result<Arc<Node>, Errno> {
        let node = self.fids.node(fid)?;
        if node.is_directory() {
            Ok(node)
        } else {
            Err(Errno::NOTDIR)
        }
    }
}

/// One message from the guest, but for its body.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub kind: u8,
    pub entry: Entry,
    /// It is sent again: an earlier server may have done it.
    pub again: bool,
    /// What that one noted of it.
    pub note: Option<Note>,
}

impl Request {
    /// It had begun when the earlier server died.
    pub fn begun(&self) -> Option<&Note> {
        self.note.as_ref().filter(|note| note.outcome.is_none())
    }
}
