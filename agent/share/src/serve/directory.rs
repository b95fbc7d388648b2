//! Treaddir.

use rustix::io::Errno;

use crate::fids::Opened;
use crate::node::Inode;
use crate::state::State;
use crate::wire::{Answer, Body, Qid, READ_HEADER};

/// Of an entry beside its name: qid, offset, type, the name's length.
const FIXED: usize = 13 + 8 + 1 + 2;

pub fn readdir(state: &mut State, mut body: Body, answer: &mut Answer) -> Result<(), Errno> {
    let (number, offset, count) = (body.u32()?, body.u64()?, body.u32()?);
    body.end()?;
    let room = (state.msize as usize)
        .saturating_sub(READ_HEADER)
        .min(count as usize);
    let (home, only) = (state.share.home(), state.share.only.as_deref());
    let fid = state.fids.get(number)?;
    let dev = fid.node.inode.dev;
    let Some(Opened::Directory(stream)) = &mut fid.opened else {
        return Err(Errno::BADF);
    };
    let mut entries = Vec::with_capacity(room.min(64 * 1024));
    stream.read(offset, |entry| {
        if only.is_some_and(|only| ![only, b".", b".."].contains(&entry.name)) {
            return true;
        }
        if entries.len() + FIXED + entry.name.len() > room {
            return false;
        }
        let path = Inode { dev, ino: entry.ino }.path(home);
        let mut piece = Answer::append(&mut entries);
        piece.qid(Qid {
            kind: qid_kind(entry.kind),
            version: 0,
            path,
        });
        piece.u64(entry.next);
        piece.u8(entry.kind);
        piece.text(entry.name);
        true
    })?;
    answer.u32(entries.len() as u32);
    answer.bytes(&entries);
    Ok(())
}

fn qid_kind(kind: u8) -> u8 {
    match kind {
        libc::DT_DIR => 0x80,
        libc::DT_LNK => 0x02,
        _ => 0,
    }
}
