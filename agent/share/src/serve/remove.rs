//! Trenameat and Tunlinkat: names that go, each once.

use rustix::fs::{AtFlags, renameat, unlinkat};
use rustix::io::Errno;

use super::place::Place;
use crate::failpoint::{Point, pass};
use crate::state::{Request, State};
use crate::wire::Body;

const REMOVE_DIRECTORY: u32 = 0x200;

pub fn rename(state: &mut State, request: &Request, mut body: Body) -> Result<(), Errno> {
    let (old_fid, old_name) = (body.u32()?, body.text()?);
    let (new_fid, new_name) = (body.u32()?, body.text()?);
    body.end()?;
    let from = Place::new(state, old_fid, old_name)?;
    let to = Place::new(state, new_fid, new_name)?;
    if let Some(note) = request.begun() {
        let is_at = |place: &Place| place.look().is_ok_and(|there| there.inode == note.inode);
        if is_at(&to) && !is_at(&from) {
            return Ok(());
        }
    }
    let moved = from.look()?;
    state.ledger.begin(&request.entry, moved.inode);
    pass(Point::Begun, request.kind);
    renameat(from.dir.fd(), old_name, to.dir.fd(), new_name)?;
    pass(Point::Acted, request.kind);
    Ok(())
}

pub fn unlink(state: &mut State, request: &Request, mut body: Body) -> Result<(), Errno> {
    let (fid, name, flags) = (body.u32()?, body.text()?, body.u32()?);
    body.end()?;
    let flags = match flags {
        0 => AtFlags::empty(),
        REMOVE_DIRECTORY => AtFlags::REMOVEDIR,
        _ => return Err(Errno::INVAL),
    };
    let place = Place::new(state, fid, name)?;
    let there = place.look();
    if let Some(note) = request.begun() {
        let remains = there.as_ref().is_ok_and(|there| there.inode == note.inode);
        if !remains && !matches!(there, Err(errno) if errno != Errno::NOENT) {
            return Ok(());
        }
    }
    state.ledger.begin(&request.entry, there?.inode);
    pass(Point::Begun, request.kind);
    unlinkat(place.dir.fd(), name, flags)?;
    pass(Point::Acted, request.kind);
    Ok(())
}
