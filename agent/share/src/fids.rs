//! What the guest holds: its numbers (fids) for inodes, opened or not. Their number is bounded, as is by it the number
//! of descriptors.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use rustix::io::Errno;

use crate::node::Node;
use crate::stream::Stream;
use crate::wire::NO_FID;

/// Each may hold two descriptors.
pub const MAX_FIDS: usize = 16_384;
/// Each may hold 64 KiB.
const MAX_ATTRIBUTES: usize = 256;

pub enum Opened {
    File(Arc<File>),
    Directory(Stream),
    /// Reads give these bytes: a value, or the list of names.
    Attribute(Vec<u8>),
    /// Writes collect a value; it is set at the clunk.
    NewAttribute(NewAttribute),
}

pub struct NewAttribute {
    pub name: Vec<u8>,
    pub value: Vec<u8>,
    pub size: usize,
    pub flags: u32,
}

pub struct Fid {
    pub node: Arc<Node>,
    /// Of the user who attached; what is made through the fid is theirs where owners are real.
    pub uid: u32,
    pub opened: Option<Opened>,
}

pub struct Fids {
    map: HashMap<u32, Fid>,
    limit: usize,
    /// How many of them hold an attribute's bytes.
    attributes: usize,
}

impl Fids {
    pub fn new(limit: usize) -> Self {
        Self {
            map: HashMap::new(),
            limit,
            attributes: 0,
        }
    }

    pub fn get(&mut self, fid: u32) -> Result<&mut Fid, Errno> {
        self.map.get_mut(&fid).ok_or(Errno::BADF)
    }

    pub fn node(&self, fid: u32) -> Result<Arc<Node>, Errno> {
        self.map.get(&fid).map(|fid| fid.node.clone()).ok_or(Errno::BADF)
    }

    /// Of a file or directory that is open.
    pub fn opened_node(&self, fid: u32) -> Result<Arc<Node>, Errno> {
        let fid = self.map.get(&fid).ok_or(Errno::BADF)?;
        match fid.opened {
            Some(Opened::File(_) | Opened::Directory(_)) => Ok(fid.node.clone()),
            _ => Err(Errno::BADF),
        }
    }

    /// Refuses a number that is taken or none, and one too many, before anything is done for it.
    pub fn check_new(&self, fid: u32) -> Result<(), Errno> {
        if fid == NO_FID || self.map.contains_key(&fid) {
            return Err(Errno::BADF);
        }
        if self.map.len() >= self.limit {
            return Err(Errno::NFILE);
        }
        Ok(())
    }

    /// A fid that is taken gives way: a clone onto itself.
    pub fn put(&mut self, number: u32, node: Arc<Node>, uid: u32) {
        let _ = self.remove(number);
        self.map.insert(
            number,
            Fid {
                node,
                uid,
                opened: None,
            },
        );
    }

    /// Of a fid that is not open.
    pub fn open_attribute(&mut self, fid: u32, opened: Opened) -> Result<(), Errno> {
        if self.attributes >= MAX_ATTRIBUTES {
            return Err(Errno::NFILE);
        }
        self.get(fid)?.opened = Some(opened);
        self.attributes += 1;
        Ok(())
    }

    pub fn remove(&mut self, fid: u32) -> Result<Fid, Errno> {
        let fid = self.map.remove(&fid).ok_or(Errno::BADF)?;
        if matches!(fid.opened, Some(Opened::Attribute(_) | Opened::NewAttribute(_))) {
            self.attributes -= 1;
        }
        Ok(fid)
    }

    pub fn clear(&mut self) {
        self.map.clear();
        self.attributes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::tests::Scratch;

    #[test]
    fn holds_no_more_than_its_limit() {
        let scratch = Scratch::new("fids");
        let node = Arc::new(scratch.node());
        let mut fids = Fids::new(2);
        for fid in [1, 2] {
            assert_eq!(fids.check_new(fid), Ok(()));
            fids.put(fid, node.clone(), 0);
        }
        assert_eq!(fids.check_new(3), Err(Errno::NFILE));
        assert!(fids.remove(1).is_ok());
        assert_eq!(fids.check_new(3), Ok(()));
    }

    #[test]
    fn holds_no_more_attributes_than_there_is_memory_for() {
        let scratch = Scratch::new("fids-attributes");
        let node = Arc::new(scratch.node());
        let mut fids = Fids::new(1000);
        for fid in 0..256 {
            fids.put(fid, node.clone(), 0);
            assert_eq!(fids.open_attribute(fid, Opened::Attribute(Vec::new())), Ok(()));
        }
        fids.put(256, node.clone(), 0);
        assert_eq!(
            fids.open_attribute(256, Opened::Attribute(Vec::new())),
            Err(Errno::NFILE)
        );
        // One gives way to a clone.
        fids.put(0, node, 0);
        assert_eq!(fids.open_attribute(256, Opened::Attribute(Vec::new())), Ok(()));
    }

    #[test]
    fn takes_no_number_twice_and_never_the_one_for_none() {
        let scratch = Scratch::new("fids-twice");
        let mut fids = Fids::new(2);
        fids.put(1, Arc::new(scratch.node()), 0);
        assert_eq!(fids.check_new(1), Err(Errno::BADF));
        assert_eq!(fids.check_new(NO_FID), Err(Errno::BADF));
        assert!(fids.opened_node(1).is_err(), "it is not open");
    }
}
