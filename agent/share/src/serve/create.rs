//! Tlcreate: a file that is made and opened at once. With O_EXCL it is made without a name first, so that the ledger
//! knows its inode before the name is there: afterwards nobody else's file is taken for it.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, linkat, openat};
use rustix::io::Errno;

use super::open::{access, open_file};
use super::place::{Owner, Place, clean_mode, is_made_since};
use crate::failpoint::{Point, pass};
use crate::fids::Opened;
use crate::node::{Inode, Node, link_of};
use crate::state::{Request, State};
use crate::wire::{Body, Qid};

/// Somebody on the host makes and removes the name again and again.
const TRIES: usize = 8;

/// @returns of the file that the fid stands for now
pub fn lcreate(state: &mut State, request: &Request, mut body: Body) -> Result<Qid, Errno> {
    let (fid, name, flags, mode, gid) = (body.u32()?, body.text()?, body.u32()?, body.u32()?, body.u32()?);
    body.end()?;
    if state.fids.get(fid)?.opened.is_some() {
        return Err(Errno::BADF);
    }
    let place = Place::new(state, fid, name)?;
    let wanted = Wanted {
        owner: Owner {
            uid: state.fids.get(fid)?.uid,
            gid,
        },
        flags: access(flags),
        mode: Mode::from_raw_mode(clean_mode(mode, FileType::RegularFile)),
    };
    let exclusive = OFlags::from_bits_retain(flags).contains(OFlags::EXCL);
    let file = match made_before(state, request, &place, &wanted)? {
        Some(file) => file,
        None if exclusive => make(state, request, &place, &wanted)?,
        None => open_or_make(state, request, &place, &wanted)?,
    };
    let node = Node::behind(&file)?;
    let (qid, fid) = (state.share.qid(&node)?, state.fids.get(fid)?);
    fid.node = Arc::new(node);
    fid.opened = Some(Opened::File(Arc::new(file)));
    Ok(qid)
}

struct Wanted {
    owner: Owner,
    flags: OFlags,
    mode: Mode,
}

/// What an earlier server made for this very request. None: it had not come to it.
fn made_before(
    state: &State,
    request: &Request,
    place: &Place,
    wanted: &Wanted,
) -> Result<Option<File>, Errno> {
    let Some(note) = &request.note else {
        return Ok(None);
    };
    let there = place.look();
    let is_it = |node: &Node| match note.inode {
        known if known != Inode::default() => Ok(node.inode == known),
        _ => is_made_since(&state.share, note, node, FileType::RegularFile),
    };
    match there {
        Ok(node) if is_it(&node)? => {
            wanted.owner.give(&state.share, &node)?;
            open_file(state, request, &node, wanted.flags - OFlags::TRUNC).map(Some)
        }
        // It was there, and is not any more: nothing is left that the fid could stand for.
        _ if note.outcome.is_some() => Err(Errno::STALE),
        _ => Ok(None),
    }
}

fn make(state: &State, request: &Request, place: &Place, wanted: &Wanted) -> Result<File, Errno> {
    place.is_free()?;
    match nameless(place, wanted) {
        Ok(file) => {
            let node = Node::behind(&file)?;
            wanted.owner.give(&state.share, &node)?;
            state.ledger.begin(&request.entry, node.inode);
            pass(Point::Begun, request.kind);
            linkat(
                CWD,
                link_of(&file),
                place.dir.fd(),
                place.name,
                AtFlags::SYMLINK_FOLLOW,
            )?;
            pass(Point::Acted, request.kind);
            Ok(file.into())
        }
        // Not every file system can.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT) => {
            state.ledger.begin(&request.entry, Inode::default());
            pass(Point::Begun, request.kind);
            let file = create(place, wanted)?;
            pass(Point::Acted, request.kind);
            let node = Node::behind(&file)?;
            state.ledger.note_inode(&request.entry, node.inode);
            wanted.owner.give(&state.share, &node)?;
            Ok(file.into())
        }
        Err(errno) => Err(errno),
    }
}

/// Needs the right to write, as making a file does: O_RDONLY has none, and is given a description of its own.
fn nameless(place: &Place, wanted: &Wanted) -> Result<OwnedFd, Errno> {
    let always = OFlags::TMPFILE | OFlags::CLOEXEC | OFlags::NOCTTY;
    let flags = wanted.flags - OFlags::TRUNC - OFlags::RWMODE;
    openat(place.dir.fd(), ".", always | flags | OFlags::RDWR, wanted.mode)
}

fn create(place: &Place, wanted: &Wanted) -> Result<OwnedFd, Errno> {
    let new = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY;
    openat(
        place.dir.fd(),
        place.name,
        new | (wanted.flags - OFlags::TRUNC),
        wanted.mode,
    )
}

/// Made first and looked at second: what is there may be a device, and opening one does something.
fn open_or_make(state: &State, request: &Request, place: &Place, wanted: &Wanted) -> Result<File, Errno> {
    for _ in 0..TRIES {
        match place.look() {
            Ok(node) if node.is_directory() => return Err(Errno::ISDIR),
            Ok(node) => return open_file(state, request, &node, wanted.flags),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
        match create(place, wanted) {
            Ok(file) => {
                wanted.owner.give(&state.share, &Node::behind(&file)?)?;
                return Ok(file.into());
            }
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::AGAIN)
}
