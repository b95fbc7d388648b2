//! A process of the guest on the share, as the kernel speaks for it: one request after the other, each to happen once.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::Dice;
use crate::share::wire::{self, Fields, Message};

/// Where a process is between two operations.
enum Doing {
    Nothing,
    /// Its file is to be made: a clone of its directory is walked first.
    Making(Vec<u8>),
    Creating(Vec<u8>),
    Appending(Vec<u8>, Vec<u8>),
    Reading(Vec<u8>),
    Renaming(Vec<u8>, Vec<u8>),
    Unlinking(Vec<u8>),
    MakingDirectory(Vec<u8>),
    Closing,
    Walking(Vec<u8>),
    Looking(Vec<u8>),
    LettingGo,
    Locking(u8),
    Flushing(Box<Doing>),
}

pub struct Process {
    number: u16,
    /// Names of its own directory with what they are to hold; a directory holds nothing.
    pub files: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// The file that is open.
    pub open: Option<Vec<u8>>,
    pub locked: bool,
    doing: Doing,
    pub done: usize,
}

impl Process {
    pub fn new(number: u16) -> Self {
        Self {
            number,
            files: BTreeMap::new(),
            open: None,
            locked: false,
            doing: Doing::Nothing,
            done: 0,
        }
    }

    /// Its directory before or after it was renamed.
    pub fn directory(&self, renamed: bool) -> Vec<u8> {
        format!("{}{}", if renamed { 'q' } else { 'p' }, self.number).into_bytes()
    }

    const fn directory_fid(&self) -> u32 {
        100 + self.number as u32
    }

    pub const fn file_fid(&self) -> u32 {
        200 + self.number as u32
    }

    const fn looked_at(&self) -> u32 {
        300 + self.number as u32
    }

    pub const fn is_idle(&self) -> bool {
        matches!(self.doing, Doing::Nothing)
    }

    pub fn set_up(&self) -> [Bytes; 2] {
        let name = self.directory(false);
        [
            Message::new(wire::TMKDIR, self.number)
                .u32(0)
                .string(&name)
                .u32(0o755)
                .u32(0)
                .done(),
            Message::new(wire::TWALK, self.number)
                .u32(0)
                .u32(self.directory_fid())
                .u16(1)
                .string(&name)
                .done(),
        ]
    }

    /// Begins something.
    pub fn begin(&mut self, dice: &mut Dice) -> Bytes {
        let tag = self.number;
        let directory = self.directory_fid();
        let name = format!("n{}", dice.roll(5)).into_bytes();
        let free = !self.files.contains_key(&name);
        match (&self.open, dice.roll(8)) {
            (Some(file), 0..=2) => {
                let length = self.files[file].as_ref().map_or(0, Vec::len);
                let data = vec![b'a' + dice.roll(26) as u8; 1 + dice.roll(20)];
                self.doing = Doing::Appending(file.clone(), data.clone());
                Message::new(wire::TWRITE, tag)
                    .u32(self.file_fid())
                    .u64(length as u64)
                    .data(&data)
                    .done()
            }
            (Some(file), 3) => {
                self.doing = Doing::Reading(file.clone());
                Message::new(wire::TREAD, tag)
                    .u32(self.file_fid())
                    .u64(0)
                    .u32(100_000)
                    .done()
            }
            (Some(_), 4) if !self.locked => {
                self.doing = Doing::Closing;
                Message::new(wire::TCLUNK, tag).u32(self.file_fid()).done()
            }
            (Some(_), 5) => {
                let kind = if self.locked { 2 } else { 1 };
                self.doing = Doing::Locking(kind);
                let lock = Message::new(wire::TLOCK, tag)
                    .u32(self.file_fid())
                    .u8(kind)
                    .u32(0);
                lock.u64(0).u64(0).u32(tag.into()).string(b"vm").done()
            }
            (Some(file), 6) if free => {
                self.doing = Doing::Renaming(file.clone(), name.clone());
                let rename = Message::new(wire::TRENAMEAT, tag).u32(directory).string(file);
                rename.u32(directory).string(&name).done()
            }
            (open, roll) => self.begin_name(open.is_some(), roll, name),
        }
    }

    /// Something with a name of its directory.
    fn begin_name(&mut self, is_open: bool, roll: usize, name: Vec<u8>) -> Bytes {
        let (tag, directory) = (self.number, self.directory_fid());
        let open = self.open.as_ref();
        let mut files = self.files.iter().filter(|(_, data)| data.is_some());
        let closed = files
            .find(|(name, _)| Some(*name) != open)
            .map(|(name, _)| name.clone());
        let free = !self.files.contains_key(&name);
        match (is_open, roll) {
            (_, 7) if closed.is_some() => {
                let file = closed.unwrap_or_default();
                self.doing = Doing::Unlinking(file.clone());
                Message::new(wire::TUNLINKAT, tag)
                    .u32(directory)
                    .string(&file)
                    .u32(0)
                    .done()
            }
            (_, 6) if closed.is_some() => {
                let file = closed.unwrap_or_default();
                let walk = Message::new(wire::TWALK, tag)
                    .u32(directory)
                    .u32(self.looked_at())
                    .u16(1)
                    .string(&file);
                self.doing = Doing::Walking(file);
                walk.done()
            }
            (false, 0..=5) if free => {
                self.doing = Doing::Making(name);
                Message::new(wire::TWALK, tag)
                    .u32(directory)
                    .u32(self.file_fid())
                    .u16(0)
                    .done()
            }
            _ => {
                let name = format!("d{}", self.done).into_bytes();
                self.doing = Doing::MakingDirectory(name.clone());
                Message::new(wire::TMKDIR, tag)
                    .u32(directory)
                    .string(&name)
                    .u32(0o755)
                    .u32(0)
                    .done()
            }
        }
    }

    /// Gives up what is under way, as for a signal.
    pub fn interrupt(&mut self) -> Option<Bytes> {
        if !matches!(self.doing, Doing::Reading(_) | Doing::Locking(1)) {
            return None;
        }
        let doing = std::mem::replace(&mut self.doing, Doing::Nothing);
        self.doing = Doing::Flushing(Box::new(doing));
        Some(
            Message::new(wire::TFLUSH, 1000 + self.number)
                .u16(self.number)
                .done(),
        )
    }

    /// Takes an answer; gives what is asked next for the same.
    pub fn answer(&mut self, answer: &[u8]) -> Option<Bytes> {
        let errno = wire::errno(answer);
        assert_eq!(errno, None, "process {}: refused at {}", self.number, self.done);
        let mut doing = std::mem::replace(&mut self.doing, Doing::Nothing);
        if let Doing::Flushing(flushed) = doing {
            if wire::kind(answer) == wire::TFLUSH + 1 {
                return None;
            }
            self.doing = Doing::Flushing(Box::new(Doing::Nothing));
            doing = *flushed;
        }
        self.done += 1;
        match doing {
            Doing::Nothing | Doing::Flushing(_) => panic!("process {} has asked for nothing", self.number),
            Doing::Making(name) => {
                let create = Message::new(wire::TLCREATE, self.number)
                    .u32(self.file_fid())
                    .string(&name);
                self.doing = Doing::Creating(name);
                return Some(create.u32(0o302).u32(0o644).u32(0).done());
            }
            Doing::Creating(name) => {
                self.files.insert(name.clone(), Some(Vec::new()));
                self.open = Some(name);
            }
            Doing::Appending(file, data) => self.files.get_mut(&file)?.as_mut()?.extend(data),
            Doing::Reading(file) => assert_eq!(&answer[wire::HEADER + 4..], self.files[&file].as_ref()?),
            Doing::Renaming(old, new) => {
                let data = self.files.remove(&old)?;
                self.files.insert(new.clone(), data);
                self.open = Some(new);
            }
            Doing::Unlinking(file) => drop(self.files.remove(&file)),
            Doing::MakingDirectory(name) => drop(self.files.insert(name, None)),
            Doing::Closing => self.open = None,
            Doing::Walking(file) => {
                self.doing = Doing::Looking(file);
                let look = Message::new(wire::TGETATTR, self.number).u32(self.looked_at());
                return Some(look.u64(0x7ff).done());
            }
            Doing::Looking(file) => {
                assert_eq!(size(answer), self.files[&file].as_ref()?.len() as u64);
                self.doing = Doing::LettingGo;
                let clunk = Message::new(wire::TCLUNK, self.number).u32(self.looked_at());
                return Some(clunk.done());
            }
            Doing::LettingGo => {}
            Doing::Locking(kind) => self.locked = kind == 1,
        }
        None
    }
}

/// Of an Rgetattr.
fn size(answer: &[u8]) -> u64 {
    let mut at = Fields::of(answer);
    let owner = at.u64().and(at.qid()).and(at.u32()).and(at.u64());
    owner
        .and(at.u64())
        .and(at.u64())
        .and(at.u64())
        .expect("it is whole")
}
