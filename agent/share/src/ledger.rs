//! What was done for the guest, in memory that outlives the server: a request whose answer was lost with a dead server
//! is neither lost nor done twice. One slot for each tag: a guest has no two requests in flight with the same one.
//!
//! The file is kilnd's, on a tmpfs, mapped shared: what is written is there for the next server, however this one ends.
//! It need not outlive the host: the guest does not either.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};

use crate::node::Inode;
use crate::wire::Qid;

/// Tags from here on have none; Linux takes the lowest that is free.
pub const SLOTS: usize = 4096;
/// Of a request that the bridge has not numbered: never found again.
pub const NO_ID: u64 = u64::MAX;
/// "KILNLG" and the version of this layout.
const MAGIC: u64 = u64::from_le_bytes(*b"KILNLG\x01\0");
const WORDS: usize = 8;
/// One slot's room before the first: the magic, and what `lend` notes.
const LENGTH: usize = (SLOTS + 1) * WORDS * 8;

const BEGUN: u64 = 1;
const DONE: u64 = 2;

/// A request that must not be done twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub tag: u16,
    pub id: u64,
    /// Of the whole message.
    pub hash: u64,
}

/// What an earlier server noted of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    /// The inode that it is about; zeros where none is known.
    pub inode: Inode,
    /// When it began, in seconds since 1970.
    pub at: u64,
    /// None: it began.
    pub outcome: Option<Result<Qid, Errno>>,
}

pub struct Ledger {
    words: &'static [AtomicU64],
}

impl Ledger {
    /// @param fd readable and writable; empty, or an earlier server's
    pub fn open(fd: &OwnedFd) -> Result<Self, Errno> {
        // All of it now: on a full tmpfs a later write to the mapping would be a SIGBUS.
        rustix::fs::fallocate(fd, FallocateFlags::empty(), 0, LENGTH as u64)?;
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: a new mapping that nothing else in this process refers to.
        let start = unsafe { rustix::mm::mmap(std::ptr::null_mut(), LENGTH, access, flags, fd, 0)? };
        // SAFETY: LENGTH bytes, mapped until the process ends, page-aligned, and only ever seen as atomics.
        let words = unsafe { std::slice::from_raw_parts(start.cast::<AtomicU64>(), LENGTH / 8) };
        let ledger = Self { words };
        match words[0].load(Ordering::Acquire) {
            MAGIC => {}
            0 => words[0].store(MAGIC, Ordering::Release),
            _ => return Err(Errno::PROTO),
        }
        Ok(ledger)
    }

    /// Another guest begins: nothing that was noted is about its requests.
    pub fn clear(&self) {
        for slot in 0..SLOTS {
            self.slot(slot)[0].store(0, Ordering::Release);
        }
    }

    /// Before it is done. The inode is what tells afterwards whether it was.
    pub fn begin(&self, entry: &Entry, inode: Inode) {
        let slot = self.slot(entry.tag.into());
        // A server that dies in between leaves an empty slot, not one of two requests.
        slot[0].store(0, Ordering::Release);
        for (word, value) in [
            (1, entry.id),
            (2, entry.hash),
            (3, inode.dev),
            (4, inode.ino),
            (7, now()),
        ] {
            slot[word].store(value, Ordering::Release);
        }
        slot[0].store(BEGUN, Ordering::Release);
    }

    /// The inode is known only now: it was made without one of its own first.
    pub fn note_inode(&self, entry: &Entry, inode: Inode) {
        let slot = self.slot(entry.tag.into());
        slot[3].store(inode.dev, Ordering::Release);
        slot[4].store(inode.ino, Ordering::Release);
    }

    /// Of what `begin` began; nothing where it did not.
    pub fn finish(&self, entry: &Entry, outcome: Result<Qid, Errno>) {
        let slot = self.slot(entry.tag.into());
        let same =
            slot[1].load(Ordering::Acquire) == entry.id && slot[2].load(Ordering::Acquire) == entry.hash;
        if !same || slot[0].load(Ordering::Acquire) != BEGUN {
            return;
        }
        let qid = outcome.unwrap_or_default();
        slot[5].store(
            u64::from(qid.kind) | u64::from(qid.version) << 32,
            Ordering::Release,
        );
        slot[6].store(qid.path, Ordering::Release);
        let errno = outcome.err().map_or(0, |errno| errno.raw_os_error() as u64);
        slot[0].store(DONE | errno << 32, Ordering::Release);
    }

    /// What is known of a request that is sent again.
    pub fn find(&self, entry: &Entry) -> Option<Note> {
        let slot = self.slot(entry.tag.into());
        let word = |index: usize| slot[index].load(Ordering::Acquire);
        if entry.id == NO_ID || word(1) != entry.id || word(2) != entry.hash {
            return None;
        }
        let outcome = match word(0) & 0xffff_ffff {
            BEGUN => None,
            DONE => Some(match word(0) >> 32 {
                0 => Ok(Qid {
                    kind: word(5) as u8,
                    version: (word(5) >> 32) as u32,
                    path: word(6),
                }),
                errno => Err(Errno::from_raw_os_error(errno as i32)),
            }),
            _ => return None,
        };
        Some(Note {
            inode: Inode {
                dev: word(3),
                ino: word(4),
            },
            at: word(7),
            outcome,
        })
    }

    /// A file whose mode is changed for a moment, so that the next server can put it right.
    pub fn lend(&self, inode: Inode, mode: u32) {
        self.words[2].store(inode.dev, Ordering::Release);
        self.words[3].store(inode.ino, Ordering::Release);
        self.words[1].store(u64::from(mode) | 1 << 32, Ordering::Release);
    }

    pub fn lent(&self, inode: Inode) -> Option<u32> {
        let mode = self.words[1].load(Ordering::Acquire);
        let (dev, ino) = (
            self.words[2].load(Ordering::Acquire),
            self.words[3].load(Ordering::Acquire),
        );
        (mode >> 32 == 1 && inode == Inode { dev, ino }).then_some(mode as u32)
    }

    pub fn give_back(&self) {
        self.words[1].store(0, Ordering::Release);
    }

    fn slot(&self, index: usize) -> &[AtomicU64] {
        let start = (index % SLOTS + 1) * WORDS;
        &self.words[start..start + WORDS]
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// FNV-1a.
pub fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use rustix::fs::{MemfdFlags, memfd_create};

    pub fn memory() -> OwnedFd {
        memfd_create("ledger", MemfdFlags::CLOEXEC).expect("memory can be had")
    }

    const ENTRY: Entry = Entry {
        tag: 5,
        id: 9,
        hash: 77,
    };
    const INODE: Inode = Inode { dev: 1, ino: 2 };

    #[test]
    fn the_next_server_finds_what_began_and_what_was_done() {
        let fd = memory();
        let first = Ledger::open(&fd).expect("it opens");
        first.begin(&ENTRY, INODE);
        let second = Ledger::open(&fd).expect("it opens again");
        let note = second.find(&ENTRY).expect("it is noted");
        assert_eq!((note.inode, note.outcome), (INODE, None));
        let qid = Qid {
            kind: 0x80,
            version: 3,
            path: u64::MAX,
        };
        first.finish(&ENTRY, Ok(qid));
        assert_eq!(second.find(&ENTRY).and_then(|note| note.outcome), Some(Ok(qid)));
    }

    #[test]
    fn keeps_an_error_as_the_outcome() {
        let ledger = Ledger::open(&memory()).expect("it opens");
        ledger.begin(&ENTRY, INODE);
        ledger.finish(&ENTRY, Err(Errno::NOTEMPTY));
        assert_eq!(
            ledger.find(&ENTRY).and_then(|note| note.outcome),
            Some(Err(Errno::NOTEMPTY))
        );
    }

    #[test]
    fn takes_the_same_bytes_sent_anew_for_another_request() {
        let ledger = Ledger::open(&memory()).expect("it opens");
        ledger.begin(&ENTRY, INODE);
        ledger.finish(&ENTRY, Ok(Qid::default()));
        assert_eq!(ledger.find(&Entry { id: 10, ..ENTRY }), None);
        assert_eq!(ledger.find(&Entry { hash: 78, ..ENTRY }), None);
        assert_eq!(ledger.find(&Entry { id: NO_ID, ..ENTRY }), None);
    }

    #[test]
    fn knows_nothing_after_a_fresh_guest_came() {
        let ledger = Ledger::open(&memory()).expect("it opens");
        ledger.begin(&ENTRY, INODE);
        ledger.clear();
        assert_eq!(ledger.find(&ENTRY), None);
        ledger.finish(&ENTRY, Ok(Qid::default()));
        assert_eq!(ledger.find(&ENTRY), None);
    }

    #[test]
    fn remembers_one_lent_mode() {
        let ledger = Ledger::open(&memory()).expect("it opens");
        ledger.lend(INODE, 0o444);
        assert_eq!(ledger.lent(INODE), Some(0o444));
        assert_eq!(ledger.lent(Inode { dev: 1, ino: 3 }), None);
        ledger.give_back();
        assert_eq!(ledger.lent(INODE), None);
    }

    #[test]
    fn is_not_taken_from_another_version() {
        let fd = memory();
        rustix::io::pwrite(&fd, b"KILNLG\x02\0", 0).expect("it can be written");
        assert_eq!(Ledger::open(&fd).err(), Some(Errno::PROTO));
    }
}
