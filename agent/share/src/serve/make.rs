//! Tmkdir, Tsymlink, Tmknod, Tlink: new names, each made once whatever becomes of the server.

use rustix::fs::{AtFlags, CWD, FileType, Mode, linkat, makedev, mkdirat, mknodat, readlinkat, symlinkat};
use rustix::io::Errno;

use super::place::{Owner, Place, clean_mode, is_made_since};
use crate::failpoint::{Point, pass};
use crate::node::{Inode, Node};
use crate::state::{Request, State};
use crate::wire::{Body, Qid};

pub fn mkdir(state: &mut State, request: &Request, mut body: Body) -> Result<Qid, Errno> {
    let (fid, name, mode, gid) = (body.u32()?, body.text()?, body.u32()?, body.u32()?);
    body.end()?;
    let place = Place::new(state, fid, name)?;
    let mode = Mode::from_raw_mode(clean_mode(mode, FileType::Directory));
    let what = New {
        fid,
        gid,
        kind: FileType::Directory,
        target: None,
    };
    make(state, request, &place, &what, || {
        mkdirat(place.dir.fd(), name, mode)
    })
}

pub fn symlink(state: &mut State, request: &Request, mut body: Body) -> Result<Qid, Errno> {
    let (fid, name, target, gid) = (body.u32()?, body.text()?, body.text()?, body.u32()?);
    body.end()?;
    if target.contains(&0) {
        return Err(Errno::INVAL);
    }
    let place = Place::new(state, fid, name)?;
    let what = New {
        fid,
        gid,
        kind: FileType::Symlink,
        target: Some(target),
    };
    make(state, request, &place, &what, || {
        symlinkat(target, place.dir.fd(), name)
    })
}

/// FIFOs, sockets and plain files: the guest's kernel does what the first two do. A device would be the host's.
pub fn mknod(state: &mut State, request: &Request, mut body: Body) -> Result<Qid, Errno> {
    let (fid, name, mode) = (body.u32()?, body.text()?, body.u32()?);
    let (_major, _minor, gid) = (body.u32()?, body.u32()?, body.u32()?);
    body.end()?;
    let place = Place::new(state, fid, name)?;
    let kind = FileType::from_raw_mode(mode);
    if !matches!(kind, FileType::RegularFile | FileType::Fifo | FileType::Socket) {
        return Err(Errno::PERM);
    }
    let mode = Mode::from_raw_mode(clean_mode(mode, kind));
    let what = New {
        fid,
        gid,
        kind,
        target: None,
    };
    make(state, request, &place, &what, || {
        mknodat(place.dir.fd(), name, kind, mode, makedev(0, 0))
    })
}

struct New<'a> {
    fid: u32,
    gid: u32,
    kind: FileType,
    /// Of a symbolic link.
    target: Option<&'a [u8]>,
}

fn make(
    state: &mut State,
    request: &Request,
    place: &Place,
    what: &New,
    act: impl FnOnce() -> Result<(), Errno>,
) -> Result<Qid, Errno> {
    let owner = Owner {
        uid: state.fids.get(what.fid)?.uid,
        gid: what.gid,
    };
    if let (Some(note), Ok(node)) = (request.begun(), place.look()) {
        if is_made_since(&state.share, note, &node, what.kind)? && has_target(&node, what.target) {
            owner.give(&state.share, &node)?;
            return state.share.qid(&node);
        }
    }
    // Only what is free now can be told afterwards to have been made.
    place.is_free()?;
    state.ledger.begin(&request.entry, Inode::default());
    pass(Point::Begun, request.kind);
    act()?;
    pass(Point::Acted, request.kind);
    let node = place.look()?;
    owner.give(&state.share, &node)?;
    state.share.qid(&node)
}

fn has_target(node: &Node, target: Option<&[u8]>) -> bool {
    target.is_none_or(|target| readlinkat(node.fd(), "", Vec::new()).is_ok_and(|is| is.as_bytes() == target))
}

/// Another name for an inode that the guest holds.
pub fn link(state: &mut State, request: &Request, mut body: Body) -> Result<(), Errno> {
    let (fid, old, name) = (body.u32()?, body.u32()?, body.text()?);
    body.end()?;
    let place = Place::new(state, fid, name)?;
    let node = state.fids.node(old)?;
    if node.is_directory() {
        return Err(Errno::PERM);
    }
    state.share.check_inside(&node)?;
    if request.begun().is_some() && place.look().is_ok_and(|there| there.inode == node.inode) {
        return Ok(());
    }
    place.is_free()?;
    state.ledger.begin(&request.entry, node.inode);
    pass(Point::Begun, request.kind);
    linkat(CWD, node.link(), place.dir.fd(), name, AtFlags::SYMLINK_FOLLOW)?;
    pass(Point::Acted, request.kind);
    Ok(())
}
