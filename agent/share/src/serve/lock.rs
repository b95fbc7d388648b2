//! Tlock and Tgetlock.

use std::sync::Arc;

use rustix::io::Errno;

use crate::lock_table::{Holder, Range, open};
use crate::node::Node;
use crate::state::{Request, State};
use crate::waiter::Waiter;
use crate::wire::{Answer, Body};

const BLOCK: u32 = 1;
const GRANTED: u8 = 0;
const BLOCKED: u8 = 1;

/// @returns false: answered later
pub fn lock(
    state: &mut State,
    request: &Request,
    mut body: Body,
    answer: &mut Answer,
) -> Result<bool, Errno> {
    let (fid, kind, flags) = (body.u32()?, body.u8()?, body.u32()?);
    let range = Range::parse(kind, body.u64()?, body.u64()?)?;
    let (node, holder) = holder(state, fid, &mut body)?;
    body.end()?;
    if range.is_unlock() {
        state.locks.unlock(&holder, range)?;
        answer.u8(GRANTED);
        return Ok(true);
    }
    let description = state.locks.description(&holder, fid, &node)?;
    match range.take(&description, false) {
        Ok(()) => answer.u8(GRANTED),
        Err(Errno::AGAIN | Errno::ACCESS) if flags & BLOCK != 0 => {
            let wait = move |waiter: &Waiter| waiter.until(|| range.take(&description, true));
            match state.jobs.wait(request.entry.tag, wait) {
                Ok(()) => return Ok(false),
                // Too many wait: the guest asks again by itself.
                Err(Errno::AGAIN) => answer.u8(BLOCKED),
                Err(errno) => return Err(errno),
            }
        }
        Err(Errno::AGAIN | Errno::ACCESS) => answer.u8(BLOCKED),
        Err(errno) => return Err(errno),
    }
    Ok(true)
}

fn holder(state: &State, fid: u32, body: &mut Body) -> Result<(Arc<Node>, Holder), Errno> {
    let node = state.fids.opened_node(fid)?;
    state.share.check_shared(&node)?;
    let (process, client) = (body.u32()?, body.text()?.to_vec());
    let inode = node.inode;
    Ok((
        node,
        Holder {
            inode,
            client,
            process,
        },
    ))
}

/// What stands in the way of a lock, or F_UNLCK where nothing does.
pub fn getlock(state: &mut State, mut body: Body, answer: &mut Answer) -> Result<(), Errno> {
    let (fid, kind) = (body.u32()?, body.u8()?);
    let (start, length) = (body.u64()?, body.u64()?);
    let range = Range::parse(kind, start, length)?;
    let (node, holder) = holder(state, fid, &mut body)?;
    body.end()?;
    let description = match state.locks.own(&holder) {
        Some(description) => description,
        None => Arc::new(open(&node)?),
    };
    let found = range.fcntl(&description, libc::F_OFD_GETLK)?;
    let code = match libc::c_int::from(found.l_type) {
        libc::F_RDLCK => 0,
        libc::F_WRLCK => 1,
        _ => 2,
    };
    answer.u8(code);
    if code == 2 {
        answer.u64(start);
        answer.u64(length);
        answer.u32(holder.process);
        answer.text(&holder.client);
    } else {
        answer.u64(found.l_start as u64);
        answer.u64(found.l_len as u64);
        // A process of the host has no number in the guest.
        answer.u32(0);
        answer.text(b"host");
    }
    Ok(())
}
