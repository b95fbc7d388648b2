//! Extended attributes: `user.*` only, of files and directories. All others mean something to the host.

use rustix::fs::{FileType, XattrFlags, getxattr, listxattr, removexattr, setxattr};
use rustix::io::Errno;

use crate::failpoint::{Point, pass};
use crate::fids::{NewAttribute, Opened};
use crate::node::{Inode, Node};
use crate::state::{Request, State};
use crate::wire::{Answer, Body};

/// Linux's own bound on a value, and on a list.
const MAX: usize = 64 * 1024;
const PREFIX: &[u8] = b"user.";
const CREATE: u32 = 1;
const REPLACE: u32 = 2;

/// A new fid whose reads give a value, or the names of all where no name is given.
pub fn walk(state: &mut State, mut body: Body, answer: &mut Answer) -> Result<(), Errno> {
    let (fid, new, name) = (body.u32()?, body.u32()?, body.text()?);
    body.end()?;
    state.fids.check_new(new)?;
    let (node, uid) = (state.fids.node(fid)?, state.fids.get(fid)?.uid);
    state.share.check_shared(&node)?;
    let value = if name.is_empty() {
        names(&node)?
    } else {
        read(&node, name)?
    };
    answer.u64(value.len() as u64);
    state.fids.put(new, node, uid);
    state
        .fids
        .open_attribute(new, Opened::Attribute(value))
        .inspect_err(|_| drop(state.fids.remove(new)))
}

fn read(node: &Node, name: &[u8]) -> Result<Vec<u8>, Errno> {
    check(node, name)?;
    let mut value = vec![0; MAX];
    let length = getxattr(node.link(), name, value.as_mut_slice())?;
    value.truncate(length);
    value.shrink_to_fit();
    Ok(value)
}

fn names(node: &Node) -> Result<Vec<u8>, Errno> {
    if !has_attributes(node) {
        return Ok(Vec::new());
    }
    let mut all = vec![0; MAX];
    let length = match listxattr(node.link(), all.as_mut_slice()) {
        Err(Errno::OPNOTSUPP) => 0,
        other => other?,
    };
    let names = all[..length].split_inclusive(|&byte| byte == 0);
    Ok(names
        .filter(|name| name.starts_with(PREFIX))
        .flatten()
        .copied()
        .collect())
}

fn has_attributes(node: &Node) -> bool {
    matches!(node.kind, FileType::RegularFile | FileType::Directory)
}

fn check(node: &Node, name: &[u8]) -> Result<(), Errno> {
    if name.contains(&0) || name.len() > 255 {
        return Err(Errno::INVAL);
    }
    if !name.starts_with(PREFIX) || !has_attributes(node) {
        return Err(Errno::OPNOTSUPP);
    }
    Ok(())
}

/// The fid takes a value by writes; it is set at the clunk.
pub fn create(state: &mut State, mut body: Body) -> Result<(), Errno> {
    let (fid, name, size, flags) = (body.u32()?, body.text()?, body.u64()?, body.u32()?);
    body.end()?;
    state.share.check_writable()?;
    let node = state.fids.node(fid)?;
    check(&node, name)?;
    state.share.check_shared(&node)?;
    if size > MAX as u64 {
        return Err(Errno::TOOBIG);
    }
    if flags & !(CREATE | REPLACE) != 0 {
        return Err(Errno::INVAL);
    }
    if state.fids.get(fid)?.opened.is_some() {
        return Err(Errno::BADF);
    }
    let (name, value, size) = (name.to_vec(), Vec::new(), size as usize);
    state.fids.open_attribute(
        fid,
        Opened::NewAttribute(NewAttribute {
            name,
            value,
            size,
            flags,
        }),
    )
}

pub fn write(attribute: &mut NewAttribute, offset: u64, bytes: &[u8]) -> Result<usize, Errno> {
    let start = usize::try_from(offset).map_err(|_| Errno::NOSPC)?;
    let end = start
        .checked_add(bytes.len())
        .filter(|&end| end <= attribute.size)
        .ok_or(Errno::NOSPC)?;
    if attribute.value.len() < end {
        attribute.value.resize(end, 0);
    }
    attribute.value[start..end].copy_from_slice(bytes);
    Ok(bytes.len())
}

/// Once: a removal and a creation that are done twice fail.
pub fn set(state: &State, request: &Request, node: &Node, attribute: &NewAttribute) -> Result<(), Errno> {
    let NewAttribute {
        name,
        value,
        size,
        flags,
    } = attribute;
    if value.len() != *size {
        return Err(Errno::INVAL);
    }
    // Linux has no other way to say it.
    let removes = value.is_empty() && *flags == REPLACE;
    if request.begun().is_some() {
        let done = match read(node, name) {
            Ok(now) => !removes && now == *value,
            Err(errno) => removes && errno == Errno::NODATA,
        };
        if done {
            return Ok(());
        }
    }
    state.ledger.begin(&request.entry, Inode::default());
    pass(Point::Begun, request.kind);
    if removes {
        removexattr(node.link(), name.as_slice())?;
    } else {
        let how = XattrFlags::from_bits_retain(*flags);
        setxattr(node.link(), name.as_slice(), value, how)?;
    }
    pass(Point::Acted, request.kind);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(size: usize) -> NewAttribute {
        NewAttribute {
            name: b"user.a".to_vec(),
            value: Vec::new(),
            size,
            flags: 0,
        }
    }

    #[test]
    fn collects_a_value_in_pieces_and_no_more_than_was_said() {
        let mut new = attribute(4);
        assert_eq!(write(&mut new, 2, b"cd"), Ok(2));
        assert_eq!(write(&mut new, 0, b"ab"), Ok(2));
        assert_eq!(new.value, b"abcd");
        assert_eq!(write(&mut new, 3, b"xy"), Err(Errno::NOSPC));
        assert_eq!(write(&mut new, u64::MAX, b"x"), Err(Errno::NOSPC));
    }

    #[test]
    fn knows_no_names_but_a_users() {
        let scratch = crate::node::tests::Scratch::new("xattr");
        let node = scratch.node();
        for name in [
            &b"trusted.a"[..],
            b"security.capability",
            b"system.posix_acl_access",
            b"user",
        ] {
            assert_eq!(check(&node, name), Err(Errno::OPNOTSUPP));
        }
        assert_eq!(check(&node, b"user.a\0b"), Err(Errno::INVAL));
        assert_eq!(check(&node, b"user.a"), Ok(()));
    }
}
