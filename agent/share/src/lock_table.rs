//! Locks of the guest's processes, against those of the host and of other VMs: among themselves the guest's kernel has
//! judged already. Each of its processes has a description of its own of a file that it locks, because locks of one
//! process go together whichever of its descriptors they came by (SQLite counts on it), and those of two never do.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;

use crate::node::{Inode, Node};

/// Descriptions for locks, beside those of fids.
pub const MAX_HOLDERS: usize = 1024;

#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Holder {
    pub inode: Inode,
    pub client: Vec<u8>,
    pub process: u32,
}

struct Held {
    description: Arc<OwnedFd>,
    /// Fids that it was locked by. The last one's end is its end: how an flock of a process that has gone ends.
    fids: HashSet<u32>,
}

#[derive(Default)]
pub struct Locks(HashMap<Holder, Held>);

impl Locks {
    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn forget_fid(&mut self, fid: u32) {
        self.0
            .retain(|_, held| !held.fids.remove(&fid) || !held.fids.is_empty());
    }

    /// The holder's description of the file; made where it has none yet.
    pub fn description(&mut self, holder: &Holder, fid: u32, node: &Node) -> Result<Arc<OwnedFd>, Errno> {
        if !self.0.contains_key(holder) {
            if self.0.len() >= MAX_HOLDERS {
                return Err(Errno::NOLCK);
            }
            let held = Held {
                description: Arc::new(open(node)?),
                fids: HashSet::new(),
            };
            self.0.insert(holder.clone(), held);
        }
        let held = self.0.get_mut(holder).ok_or(Errno::NOLCK)?;
        held.fids.insert(fid);
        Ok(held.description.clone())
    }

    pub fn own(&self, holder: &Holder) -> Option<Arc<OwnedFd>> {
        self.0.get(holder).map(|held| held.description.clone())
    }

    pub fn unlock(&mut self, holder: &Holder, range: Range) -> Result<(), Errno> {
        let Some(held) = self.0.get(holder) else {
            return Ok(()); // as everywhere: there is nothing to unlock
        };
        if range.is_whole() && Arc::strong_count(&held.description) == 1 {
            self.0.remove(holder);
            return Ok(());
        }
        // Another thread of that process waits for a lock with the same description.
        range.fcntl(&held.description, libc::F_OFD_SETLK).map(drop)?;
        if range.is_whole() {
            let _ = rustix::fs::flock(&*held.description, FlockOperation::Unlock); // where it was taken so
        }
        Ok(())
    }
}

/// Write locks need a description that may write.
pub fn open(node: &Node) -> Result<OwnedFd, Errno> {
    node.open(OFlags::RDWR).or_else(|_| node.open(OFlags::RDONLY))
}

#[derive(Clone, Copy)]
pub struct Range {
    pub kind: libc::c_short,
    pub start: libc::off_t,
    pub length: libc::off_t,
}

impl Range {
    pub fn parse(kind: u8, start: u64, length: u64) -> Result<Self, Errno> {
        let kind = match kind {
            0 => libc::F_RDLCK,
            1 => libc::F_WRLCK,
            2 => libc::F_UNLCK,
            _ => return Err(Errno::INVAL),
        } as libc::c_short;
        let number = |value| libc::off_t::try_from(value).map_err(|_| Errno::INVAL);
        Ok(Self {
            kind,
            start: number(start)?,
            length: number(length)?,
        })
    }

    pub fn is_unlock(self) -> bool {
        self.kind == libc::F_UNLCK as libc::c_short
    }

    fn is_whole(self) -> bool {
        self.start == 0 && self.length == 0
    }

    pub fn fcntl(self, fd: &OwnedFd, command: libc::c_int) -> Result<libc::flock, Errno> {
        // SAFETY: zeros are a valid flock; open file descriptions' locks want its pid to be zero.
        let mut lock: libc::flock = unsafe { std::mem::zeroed() };
        (lock.l_type, lock.l_start, lock.l_len) = (self.kind, self.start, self.length);
        lock.l_whence = libc::SEEK_SET as libc::c_short;
        // SAFETY: the descriptor is open, and `lock` outlives the call.
        if unsafe { libc::fcntl(fd.as_raw_fd(), command, &mut lock) } == 0 {
            return Ok(lock);
        }
        Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
    }

    pub fn take(self, fd: &OwnedFd, wait: bool) -> Result<(), Errno> {
        let command = if wait {
            libc::F_OFD_SETLKW
        } else {
            libc::F_OFD_SETLK
        };
        match self.fcntl(fd, command) {
            // flock(LOCK_EX) of a file that can only be read.
            Err(Errno::BADF) if self.is_whole() => rustix::fs::flock(
                fd,
                if wait {
                    FlockOperation::LockExclusive
                } else {
                    FlockOperation::NonBlockingLockExclusive
                },
            ),
            other => other.map(drop),
        }
    }
}
