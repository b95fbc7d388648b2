//! A server as docs and `agent/share` have it, on files in memory: sessions die with it, files and ledger do not.

use std::collections::{BTreeMap, HashMap};

use super::disk::{Disk, Node};

use crate::share::hello::{self, greeting};
use crate::share::request::is_repeatable;
use crate::share::wire::{self, Fields, Message};

#[derive(Clone, Debug)]
struct Held {
    inode: u64,
    open: bool,
    attribute: Option<(Vec<u8>, Vec<u8>)>,
}

impl Held {
    const fn of(inode: u64) -> Self {
        Self {
            inode,
            open: false,
            attribute: None,
        }
    }
}

#[derive(PartialEq, Eq)]
enum Stage {
    /// The answer with this nonce is to come.
    Greeting(u8),
    /// Resumed; what comes is not numbered.
    Restoring,
    Live,
}

pub struct Server {
    stage: Stage,
    input: Vec<u8>,
    fids: HashMap<u32, Held>,
    /// Who holds which file, whole.
    pub locks: HashMap<u64, u32>,
    announced: HashMap<u16, u64>,
    next_id: u64,
    pub resumed: Option<bool>,
}

type Reply = Result<Message, i32>;

impl Server {
    /// A new one, and its hello.
    pub fn start(disk: &mut Disk) -> (Self, Vec<u8>) {
        disk.lives = disk.lives.wrapping_add(1).max(1);
        let server = Self {
            stage: Stage::Greeting(disk.lives),
            input: Vec::new(),
            fids: HashMap::new(),
            locks: HashMap::new(),
            announced: HashMap::new(),
            next_id: 0,
            resumed: None,
        };
        (server, greeting(disk.lives).to_vec())
    }

    pub fn is_live(&self) -> bool {
        self.stage == Stage::Live
    }

    pub fn holds(&self) -> usize {
        self.fids.len()
    }

    /// Takes bytes; gives answers, each by itself. None: the session is over.
    pub fn feed(&mut self, bytes: &[u8], disk: &mut Disk) -> Option<Vec<Vec<u8>>> {
        self.input.extend_from_slice(bytes);
        let mut answers = Vec::new();
        if let Stage::Greeting(nonce) = self.stage {
            let mut wanted = b"\xff\xff\xff\xffKILN9B\x01\0".to_vec();
            wanted.extend([nonce; 16]);
            let Some(at) = self.input.windows(28).position(|window| window == wanted) else {
                return Some(answers);
            };
            let Some(answer) = self.input.get(at..at + hello::LENGTH) else {
                return Some(answers);
            };
            let resumed = answer[28] & 1 == 1;
            self.resumed = Some(resumed);
            self.stage = if resumed { Stage::Restoring } else { Stage::Live };
            if !resumed {
                disk.ledger.clear();
            }
            self.input.drain(..at + hello::LENGTH);
        }
        while let Some(length) = wire::length(&self.input) {
            if !(wire::HEADER..=1 << 20).contains(&length) {
                return None;
            }
            if self.input.len() < length {
                break;
            }
            let message: Vec<u8> = self.input.drain(..length).collect();
            answers.push(self.answer(&message, disk));
        }
        Some(answers)
    }

    fn answer(&mut self, message: &[u8], disk: &mut Disk) -> Vec<u8> {
        let (kind, tag) = (wire::kind(message), wire::tag(message));
        if kind == wire::TREPLAY {
            return self.announce(message);
        }
        let mut id = None;
        if self.stage == Stage::Live {
            id = self.announced.remove(&tag);
            if let (Some(id), Some((noted, bytes, answer))) = (id, disk.ledger.get(&tag))
                && *noted == id
                && bytes == message
            {
                let answer = answer.clone();
                self.reopen(message, disk);
                return answer;
            }
            id = Some(id.unwrap_or_else(|| {
                self.next_id += 1;
                self.next_id - 1
            }));
        }
        let attribute = kind == wire::TCLUNK
            && Fields::of(message)
                .u32()
                .and_then(|fid| self.fids.get(&fid))
                .is_some_and(|held| held.attribute.is_some());
        let answer = match self.serve(kind, tag, Fields::of(message), disk) {
            Ok(answer) => answer.done(),
            Err(errno) => wire::refusal(tag, errno),
        };
        if let Some(id) = id.filter(|_| !is_repeatable(kind) || attribute) {
            disk.ledger.insert(tag, (id, message.to_vec(), answer.to_vec()));
        }
        answer.to_vec()
    }

    fn announce(&mut self, message: &[u8]) -> Vec<u8> {
        assert!(
            self.stage == Stage::Restoring,
            "Treplay once, and after a hello that resumes"
        );
        let mut fields = Fields::of(message);
        self.next_id = fields.u64().unwrap();
        for _ in 0..fields.u16().unwrap() {
            let (tag, id) = (fields.u16().unwrap(), fields.u64().unwrap());
            assert!(id < self.next_id, "a request is announced that was never sent");
            assert!(
                self.announced.insert(tag, id).is_none(),
                "a tag is announced twice"
            );
        }
        self.stage = Stage::Live;
        Message::new(wire::TREPLAY + 1, wire::tag(message))
            .done()
            .to_vec()
    }

    /// What was done is not done again, but its fid is to be what it was.
    fn reopen(&mut self, message: &[u8], disk: &Disk) {
        let mut fields = Fields::of(message);
        let fid = fields.u32().unwrap();
        match wire::kind(message) {
            wire::TLCREATE => {
                let held = self
                    .fids
                    .get_mut(&fid)
                    .expect("a create is on a fid that is there");
                held.inode = disk
                    .lookup(held.inode, &fields.string().unwrap())
                    .expect("it was made");
                held.open = true;
            }
            wire::TCLUNK => drop(self.fids.remove(&fid)),
            _ => {}
        }
    }

    fn held(&self, fid: Option<u32>) -> Result<&Held, i32> {
        self.fids.get(&fid.ok_or(libc::EINVAL)?).ok_or(libc::EBADF)
    }

    fn serve(&mut self, kind: u8, tag: u16, mut at: Fields<'_>, disk: &mut Disk) -> Reply {
        let ok = Message::new(kind + 1, tag);
        match kind {
            wire::TVERSION => Ok(ok.u32(at.u32().unwrap()).string(wire::VERSION)),
            wire::TFLUSH => Ok(ok),
            wire::TATTACH => {
                self.put(at.u32().unwrap(), Held::of(1))?;
                Ok(disk.qid(ok, 1))
            }
            wire::TWALK => self.walk(ok, at, disk),
            wire::TLOPEN => {
                let fid = at.u32().unwrap();
                let inode = self.held(Some(fid))?.inode;
                self.fids.get_mut(&fid).unwrap().open = true;
                Ok(disk.qid(ok, inode).u32(0))
            }
            wire::TLCREATE => {
                let (fid, name) = (at.u32().unwrap(), at.string().unwrap());
                let inode = self.held(Some(fid))?.inode;
                if disk.lookup(inode, &name).is_some() {
                    return Err(libc::EEXIST);
                }
                let made = disk.add(Node::File(Vec::new()));
                disk.names(inode).insert(name.to_vec(), made);
                self.fids.insert(
                    fid,
                    Held {
                        open: true,
                        ..Held::of(made)
                    },
                );
                Ok(disk.qid(ok, made).u32(0))
            }
            wire::TMKDIR | wire::TRENAMEAT | wire::TUNLINKAT => self.serve_names(kind, ok, at, disk),
            wire::TGETATTR => {
                let inode = self.held(at.u32())?.inode;
                Ok(disk.attributes(ok, inode))
            }
            wire::TWRITE => self.write(ok, at, disk),
            wire::TREAD => self.read(ok, at, disk),
            wire::TXATTRCREATE => {
                let (fid, name) = (at.u32().unwrap(), at.string().unwrap());
                self.held(Some(fid))?;
                self.fids.get_mut(&fid).unwrap().attribute = Some((name.to_vec(), Vec::new()));
                Ok(ok)
            }
            wire::TLOCK => self.lock(ok, at),
            wire::TCLUNK => {
                let held = self.fids.remove(&at.u32().unwrap()).ok_or(libc::EBADF)?;
                if let Some((name, value)) = held.attribute {
                    disk.attributes.insert((held.inode, name), value);
                }
                Ok(ok)
            }
            other => panic!("no such request: {other}"),
        }
    }

    fn serve_names(&mut self, kind: u8, ok: Message, mut at: Fields<'_>, disk: &mut Disk) -> Reply {
        match kind {
            wire::TMKDIR => {
                let (inode, name) = (self.held(at.u32())?.inode, at.string().unwrap());
                if disk.lookup(inode, &name).is_some() {
                    return Err(libc::EEXIST);
                }
                let made = disk.add(Node::Directory(BTreeMap::new()));
                disk.names(inode).insert(name.to_vec(), made);
                Ok(disk.qid(ok, made))
            }
            wire::TRENAMEAT => {
                let (from, old) = (self.held(at.u32())?.inode, at.string().unwrap());
                let (into, new) = (self.held(at.u32())?.inode, at.string().unwrap());
                let inode = disk.names(from).remove(&*old).ok_or(libc::ENOENT)?;
                disk.names(into).insert(new.to_vec(), inode);
                Ok(ok)
            }
            _ => {
                let (inode, name) = (self.held(at.u32())?.inode, at.string().unwrap());
                disk.names(inode).remove(&*name).ok_or(libc::ENOENT)?;
                Ok(ok)
            }
        }
    }

    fn lock(&mut self, ok: Message, mut at: Fields<'_>) -> Reply {
        let inode = self.held(at.u32())?.inode;
        let kind = at.u8().unwrap();
        let process = at.u32().and(at.u64()).and(at.u64()).and(at.u32()).unwrap();
        let holder = self.locks.get(&inode).copied();
        if holder.is_some_and(|holder| holder != process) {
            return Ok(ok.u8(1));
        }
        match kind {
            2 => drop(self.locks.remove(&inode)),
            _ => drop(self.locks.insert(inode, process)),
        }
        Ok(ok.u8(0))
    }

    fn put(&mut self, fid: u32, held: Held) -> Result<(), i32> {
        match self.fids.insert(fid, held) {
            None => Ok(()),
            Some(_) => Err(libc::EBADF),
        }
    }

    fn walk(&mut self, ok: Message, mut at: Fields<'_>, disk: &Disk) -> Reply {
        let (from, to, count) = (at.u32().unwrap(), at.u32().unwrap(), at.u16().unwrap());
        assert!(count <= 16, "a walk of {count} names");
        let mut inode = self.held(Some(from))?.inode;
        let mut inodes = Vec::new();
        for _ in 0..count {
            match disk.lookup(inode, &at.string().unwrap()) {
                Some(next) => inode = next,
                None if inodes.is_empty() => return Err(libc::ENOENT),
                None => break,
            }
            inodes.push(inode);
        }
        if inodes.len() == usize::from(count) {
            if from == to {
                self.fids.remove(&to);
            }
            self.put(to, Held::of(inode))?;
        }
        let walked = ok.u16(inodes.len() as u16);
        Ok(inodes
            .iter()
            .fold(walked, |message, &inode| disk.qid(message, inode)))
    }

    fn write(&mut self, ok: Message, mut at: Fields<'_>, disk: &mut Disk) -> Reply {
        let (fid, offset) = (at.u32().unwrap(), at.u64().unwrap() as usize);
        let data = at.data().unwrap();
        let held = self.fids.get_mut(&fid).ok_or(libc::EBADF)?;
        let put = |bytes: &mut Vec<u8>| {
            bytes.resize(bytes.len().max(offset + data.len()), 0);
            bytes[offset..offset + data.len()].copy_from_slice(data);
        };
        match (&mut held.attribute, disk.nodes.get_mut(&held.inode)) {
            (Some((_, value)), _) => put(value),
            (None, Some(Node::File(bytes))) if held.open => put(bytes),
            _ => return Err(libc::EBADF),
        }
        Ok(ok.u32(data.len() as u32))
    }

    fn read(&self, ok: Message, mut at: Fields<'_>, disk: &Disk) -> Reply {
        let held = self.held(at.u32())?;
        let (offset, count) = (at.u64().unwrap() as usize, at.u32().unwrap() as usize);
        match disk.nodes.get(&held.inode) {
            Some(Node::File(bytes)) if held.open => {
                let start = offset.min(bytes.len());
                Ok(ok.data(&bytes[start..bytes.len().min(start + count)]))
            }
            _ => Err(libc::EBADF),
        }
    }
}
