//! Files in memory, and the ledger: what outlives a server.

use std::collections::{BTreeMap, HashMap};

use crate::share::wire::Message;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    Directory(BTreeMap<Vec<u8>, u64>),
    File(Vec<u8>),
}

pub struct Disk {
    pub nodes: HashMap<u64, Node>,
    pub attributes: HashMap<(u64, Vec<u8>), Vec<u8>>,
    pub last: u64,
    pub ledger: HashMap<u16, (u64, Vec<u8>, Vec<u8>)>,
    pub lives: u8,
}

impl Default for Disk {
    fn default() -> Self {
        let nodes = HashMap::from([(1, Node::Directory(BTreeMap::new()))]);
        Self {
            nodes,
            attributes: HashMap::new(),
            last: 1,
            ledger: HashMap::new(),
            lives: 0,
        }
    }
}

impl Disk {
    pub fn add(&mut self, node: Node) -> u64 {
        self.last += 1;
        self.nodes.insert(self.last, node);
        self.last
    }

    pub fn names(&mut self, inode: u64) -> &mut BTreeMap<Vec<u8>, u64> {
        match self.nodes.get_mut(&inode) {
            Some(Node::Directory(names)) => names,
            other => panic!("{inode} is no directory but {other:?}"),
        }
    }

    pub fn lookup(&self, inode: u64, name: &[u8]) -> Option<u64> {
        match self.nodes.get(&inode) {
            Some(Node::Directory(names)) => names.get(name).copied(),
            _ => None,
        }
    }

    pub fn qid(&self, message: Message, inode: u64) -> Message {
        let kind = u8::from(matches!(self.nodes.get(&inode), Some(Node::Directory(_)))) << 7;
        message.u8(kind).u32(0).u64(inode)
    }

    /// Of an Rgetattr all up to the size.
    pub fn attributes(&self, message: Message, inode: u64) -> Message {
        let size = match self.nodes.get(&inode) {
            Some(Node::File(bytes)) => bytes.len() as u64,
            _ => 0,
        };
        let owned = self.qid(message.u64(0x7ff), inode).u32(0).u32(0).u32(0);
        owned.u64(1).u64(0).u64(size)
    }
}
