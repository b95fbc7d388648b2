//! What the kernel holds of the share: each fid with its path and how it is open. From this a new server is told all.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::locks::{Lock, Locks, UNLOCK};
use super::wire::Qid;

/// As whom the kernel came in: one for each user who asks, where the server knows them.
#[derive(Debug, PartialEq, Eq)]
pub struct Login {
    pub user: Box<[u8]>,
    pub tree: Box<[u8]>,
    pub uid: u32,
}

pub type Path = Vec<Box<[u8]>>;

/// An extended attribute in the making, or read: its fid stands for it.
#[derive(Clone, Debug)]
pub enum Xattr {
    Read {
        name: Box<[u8]>,
    },
    Write {
        name: Box<[u8]>,
        size: u64,
        flags: u32,
        data: Vec<u8>,
    },
}

/// The largest that Linux knows (XATTR_SIZE_MAX).
const LONGEST_XATTR: usize = 64 << 10;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    #[default]
    Fine,
    /// Not found by the server of now; the next may find it.
    Stale,
    /// Its name was taken away, or somebody else got its lock: fine until the server dies, and never found again.
    Doomed,
    /// Doomed, and the server has died.
    Lost,
}

#[derive(Clone, Debug)]
pub struct Fid {
    pub login: Rc<Login>,
    pub path: Path,
    pub qid: Qid,
    /// Flags of its open, without those that make or cut a file.
    pub open: Option<u32>,
    pub xattr: Option<Xattr>,
    pub locks: Locks,
    pub health: Health,
    /// Why the server has refused to make it, which the kernel was told it had (`ahead`).
    pub refused: Option<i32>,
    /// Renames, by their numbers, that are known to have moved it before their answers came.
    pub moved_by: Vec<u64>,
}

impl Fid {
    pub fn new(login: Rc<Login>, path: Path, qid: Qid) -> Self {
        Self {
            login,
            path,
            qid,
            open: None,
            xattr: None,
            locks: Locks::default(),
            health: Health::Fine,
            refused: None,
            moved_by: Vec::new(),
        }
    }

    pub const fn is_stale(&self) -> bool {
        matches!(self.health, Health::Stale | Health::Lost)
    }

    /// Keeps what was written of an attribute.
    pub fn write_xattr(&mut self, offset: u64, written: &[u8]) {
        let Some(Xattr::Write { data, .. }) = &mut self.xattr else {
            return;
        };
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(written.len());
        // More is refused by the kernel before it is sent.
        if end <= LONGEST_XATTR {
            data.resize(data.len().max(end), 0);
            data[start..end].copy_from_slice(written);
        }
    }
}

/// open(2)'s, as 9P2000.L counts them on every machine.
const CREATE: u32 = 0o100;
const EXCLUSIVE: u32 = 0o200;
const TRUNCATE: u32 = 0o1000;

/// The flags with which an open file is opened again.
pub const fn flags_again(flags: u32) -> u32 {
    flags & !(CREATE | EXCLUSIVE | TRUNCATE)
}

pub fn join(directory: &[Box<[u8]>], names: &[Box<[u8]>]) -> Path {
    let mut path = directory.to_vec();
    for name in names {
        match &**name {
            b"." | b"" => {}
            b".." => drop(path.pop()),
            _ => path.push(name.clone()),
        }
    }
    path
}

/// Where `path` is after `old` has become `new`; None where that does not touch it.
pub fn moved(path: &[Box<[u8]>], old: &[Box<[u8]>], new: &[Box<[u8]>]) -> Option<Path> {
    let rest = path.strip_prefix(old)?;
    Some([new, rest].concat())
}

#[derive(Default)]
pub struct Fids(BTreeMap<u32, Fid>);

impl Fids {
    pub fn get(&self, fid: u32) -> Option<&Fid> {
        self.0.get(&fid)
    }

    pub fn get_mut(&mut self, fid: u32) -> Option<&mut Fid> {
        self.0.get_mut(&fid)
    }

    pub fn insert(&mut self, number: u32, fid: Fid) {
        self.0.insert(number, fid);
    }

    pub fn remove(&mut self, fid: u32) -> Option<Fid> {
        self.0.remove(&fid)
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, &Fid)> {
        self.0.iter().map(|(&number, fid)| (number, fid))
    }

    /// The path of a name in a directory that is known.
    pub fn path_in(&self, directory: u32, name: &[u8]) -> Option<Path> {
        let directory = self.get(directory)?;
        Some(join(&directory.path, &[name.into()]))
    }

    /// `old` is `new` from now on, and what was `new` is nowhere any more. `by`: the number of the rename.
    pub fn rename(&mut self, old: &[Box<[u8]>], new: &[Box<[u8]>], by: u64) {
        if old == new {
            return;
        }
        for fid in self.0.values_mut() {
            if fid.moved_by.contains(&by) || matches!(fid.health, Health::Doomed | Health::Lost) {
                continue;
            }
            if fid.path == new {
                fid.health = doomed(fid.health);
            } else if let Some(path) = moved(&fid.path, old, new) {
                fid.path = path;
            }
        }
    }

    /// A rename is answered.
    pub fn forget_rename(&mut self, by: u64) {
        for fid in self.0.values_mut() {
            fid.moved_by.retain(|&number| number != by);
        }
    }

    pub fn unlink(&mut self, path: &[Box<[u8]>]) {
        for fid in self.0.values_mut().filter(|fid| fid.path == path) {
            fid.health = doomed(fid.health);
        }
    }

    /// A lock was granted, or is given up. It is its owner's on the file, through whichever fid.
    pub fn lock(&mut self, number: u32, lock: &Lock) {
        let Some(file) = self.get(number).map(|fid| fid.qid.path) else {
            return;
        };
        let none = Lock {
            kind: UNLOCK,
            ..lock.clone()
        };
        for fid in self.0.values_mut().filter(|fid| fid.qid.path == file) {
            fid.locks.set(&none);
        }
        if let Some(fid) = self.get_mut(number) {
            fid.locks.set(lock);
        }
    }

    /// The server is gone, and with it what only it held.
    pub fn lose_server(&mut self) {
        for fid in self.0.values_mut().filter(|fid| fid.health == Health::Doomed) {
            fid.health = Health::Lost;
        }
    }
}

const fn doomed(health: Health) -> Health {
    match health {
        Health::Fine => Health::Doomed,
        Health::Doomed => Health::Doomed,
        Health::Stale | Health::Lost => Health::Lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        text.split('/')
            .filter(|name| !name.is_empty())
            .map(|name| name.as_bytes().into())
            .collect()
    }

    fn fids(paths: &[&str]) -> Fids {
        let login = Rc::new(Login {
            user: Box::default(),
            tree: Box::default(),
            uid: 0,
        });
        let mut fids = Fids::default();
        for (number, text) in (0..).zip(paths) {
            fids.insert(number, Fid::new(login.clone(), path(text), Qid::default()));
        }
        fids
    }

    fn paths(fids: &Fids) -> Vec<String> {
        let text = |path: &Path| {
            path.iter()
                .map(|name| String::from_utf8_lossy(name).into_owned())
                .collect::<Vec<_>>()
                .join("/")
        };
        fids.iter()
            .map(|(_, fid)| format!("{} {:?}", text(&fid.path), fid.health))
            .collect()
    }

    #[test]
    fn a_renamed_directory_takes_all_below_with_it() {
        let mut fids = fids(&["", "a", "a/b/c", "ab", "x", "x/y"]);
        fids.rename(&path("a"), &path("x"), 1);
        assert_eq!(
            paths(&fids),
            [" Fine", "x Fine", "x/b/c Fine", "ab Fine", "x Doomed", "x/y Fine"]
        );
    }

    #[test]
    fn what_is_known_to_have_moved_is_not_moved_again() {
        let mut fids = fids(&["b", "b"]);
        fids.get_mut(0).unwrap().moved_by.push(7);
        fids.rename(&path("a"), &path("b"), 7);
        assert_eq!(paths(&fids), ["b Fine", "b Doomed"]);
    }

    #[test]
    fn what_has_no_name_is_lost_with_the_server() {
        let mut fids = fids(&["a", "b"]);
        fids.unlink(&path("a"));
        assert_eq!(paths(&fids), ["a Doomed", "b Fine"]);
        // Another file of that name is no business of the first.
        fids.rename(&path("b"), &path("a"), 1);
        fids.lose_server();
        assert_eq!(paths(&fids), ["a Lost", "a Fine"]);
    }

    #[test]
    fn paths_never_leave_the_root() {
        let names = path("../../a/./../b");
        assert_eq!(join(&path("x"), &names), path("b"));
        assert_eq!(flags_again(0o101_302), 0o100_002);
    }

    #[test]
    fn an_attribute_is_kept_up_to_its_bound() {
        let mut fid = fids(&["a"]).remove(0).unwrap();
        fid.xattr = Some(Xattr::Write {
            name: Box::default(),
            size: 4,
            flags: 0,
            data: Vec::new(),
        });
        fid.write_xattr(2, b"cd");
        fid.write_xattr(0, b"ab");
        fid.write_xattr(u64::MAX, b"x");
        fid.write_xattr(65_535, b"xy");
        assert!(matches!(fid.xattr, Some(Xattr::Write { data, .. }) if data == b"abcd"));
    }
}
