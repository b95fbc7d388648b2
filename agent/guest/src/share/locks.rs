//! Which byte ranges a fid has locked: a server that died took them with it.

use std::rc::Rc;

pub const UNLOCK: u8 = 2;

/// Who locks, as the kernel tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub process: u32,
    pub client: Rc<[u8]>,
}

/// What a Tlock asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// Shared 0, exclusive 1, none 2.
    pub kind: u8,
    pub start: u64,
    /// Exclusive; `u64::MAX` is the end of every file.
    pub end: u64,
    pub owner: Owner,
}

impl Lock {
    pub fn new(kind: u8, start: u64, length: u64, owner: Owner) -> Self {
        let end = match length {
            0 => u64::MAX,
            _ => start.saturating_add(length),
        };
        Self {
            kind,
            start,
            end,
            owner,
        }
    }

    /// As it is sent.
    pub const fn length(&self) -> u64 {
        match self.end {
            u64::MAX => 0,
            end => end - self.start,
        }
    }
}

/// What is locked, without overlaps of one owner.
#[derive(Clone, Debug, Default)]
pub struct Locks(Vec<Lock>);

impl Locks {
    /// A lock was granted or given up. It replaces what its owner had there.
    pub fn set(&mut self, lock: &Lock) {
        let mut kept = Vec::with_capacity(self.0.len() + 2);
        for had in self.0.drain(..) {
            if had.owner != lock.owner || had.end <= lock.start || lock.end <= had.start {
                kept.push(had);
                continue;
            }
            if had.start < lock.start {
                let end = lock.start;
                kept.push(Lock { end, ..had.clone() });
            }
            if lock.end < had.end {
                let start = lock.end;
                kept.push(Lock { start, ..had });
            }
        }
        if lock.kind != UNLOCK {
            kept.push(lock.clone());
        }
        self.0 = kept;
    }

    pub fn get(&self, index: usize) -> Option<&Lock> {
        self.0.get(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(kind: u8, start: u64, length: u64, process: u32) -> Lock {
        let client = Rc::from(&b"vm"[..]);
        Lock::new(kind, start, length, Owner { process, client })
    }

    fn ranges(locks: &Locks) -> Vec<(u8, u64, u64)> {
        let mut ranges: Vec<_> = locks
            .0
            .iter()
            .map(|lock| (lock.kind, lock.start, lock.length()))
            .collect();
        ranges.sort_by_key(|range| range.1);
        ranges
    }

    #[test]
    fn splits_what_is_unlocked_in_the_middle() {
        let mut locks = Locks::default();
        locks.set(&lock(1, 0, 0, 7));
        locks.set(&lock(UNLOCK, 10, 5, 7));
        assert_eq!(ranges(&locks), [(1, 0, 10), (1, 15, 0)]);
        locks.set(&lock(0, 5, 20, 7));
        assert_eq!(ranges(&locks), [(1, 0, 5), (0, 5, 20), (1, 25, 0)]);
        locks.set(&lock(UNLOCK, 0, 0, 7));
        assert_eq!(ranges(&locks), []);
    }

    #[test]
    fn leaves_others_alone_and_survives_the_largest_numbers() {
        let mut locks = Locks::default();
        locks.set(&lock(0, u64::MAX - 1, u64::MAX, 1));
        locks.set(&lock(0, 0, 0, 2));
        locks.set(&lock(UNLOCK, 0, 0, 1));
        assert_eq!(ranges(&locks), [(0, 0, 0)]);
    }
}
