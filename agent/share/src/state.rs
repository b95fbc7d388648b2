//! What one server has: the share, and all that the connected guest holds of it.

use std::sync::Arc;

use rustix::io::Errno;

use crate::fids::Fids;
use crate::jobs::Jobs;
use crate::ledger::{Entry, Ledger, Note};
use crate::lock_table::Locks;
use crate::map::Owners;
use crate::node::{Node, qid_of};
use crate::wire::{MAX_MESSAGE, Qid};

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
}

impl State {
    pub fn new(share: Share, fids: usize, ledger: Ledger, jobs: Jobs) -> Self {
        let (fids, locks) = (Fids::new(fids), Locks::default());
        Self {
            share,
            fids,
            locks,
            jobs,
            ledger,
            msize: MAX_MESSAGE,
            lenient: false,
        }
    }

    /// The guest holds nothing any more.
    pub fn reset(&mut self) {
        self.jobs.reset();
        self.locks.clear();
        self.fids.clear();
        self.lenient = false;
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
