//! Tversion, Tattach and Twalk: how the guest comes to fids.

use std::sync::Arc;

use rustix::io::Errno;

use crate::state::State;
use crate::wire::{Answer, Body, MAX_MESSAGE, MIN_MESSAGE};

const VERSION: &[u8] = b"9P2000.L";
const MAX_NAMES: u16 = 16;

/// Whatever the guest held, it begins again.
pub fn version(state: &mut State, mut body: Body, answer: &mut Answer) -> Result<(), Errno> {
    let (msize, version) = (body.u32()?, body.text()?);
    body.end()?;
    if msize < MIN_MESSAGE {
        return Err(Errno::MSGSIZE);
    }
    let lenient = state.lenient;
    state.reset();
    state.lenient = lenient;
    state.msize = msize.min(MAX_MESSAGE);
    answer.u32(state.msize);
    answer.text(if version == VERSION { VERSION } else { b"unknown" });
    Ok(())
}

pub fn attach(state: &mut State, mut body: Body, answer: &mut Answer) -> Result<(), Errno> {
    let (fid, auth) = (body.u32()?, body.u32()?);
    let (_user, _what, uid) = (body.text()?, body.text()?, body.u32()?);
    body.end()?;
    if auth != crate::wire::NO_FID {
        return Err(Errno::OPNOTSUPP);
    }
    state.fids.check_new(fid)?;
    answer.qid(state.share.qid(&state.share.root)?);
    let root = state.share.root.clone();
    if let Some(watches) = state.watching() {
        watches.add(&root);
    }
    state.fids.put(fid, root, uid);
    Ok(())
}

/// As far as it goes: only where the first name is not there, it fails. The new fid is there when all of it was gone.
pub fn walk(state: &mut State, mut body: Body, answer: &mut Answer) -> Result<(), Errno> {
    let (fid, new, count) = (body.u32()?, body.u32()?, body.u16()?);
    if count > MAX_NAMES {
        return Err(Errno::INVAL);
    }
    let names: Vec<&[u8]> = (0..count).map(|_| body.text()).collect::<Result<_, _>>()?;
    body.end()?;
    let start = state.fids.get(fid)?;
    // As the protocol has it: an open fid leads nowhere but to a clone of what it was.
    let (mut node, uid) = (start.node.clone(), start.uid);
    if new != fid {
        state.fids.check_new(new)?;
    }
    if !names.is_empty() {
        state.share.check_inside(&node)?;
    }
    let mut qids = Vec::with_capacity(names.len());
    for name in &names {
        match state.share.look(&node, name) {
            Ok(next) => {
                qids.push(state.share.qid(&next)?);
                node = Arc::new(next);
            }
            Err(errno) if qids.is_empty() => return Err(errno),
            Err(_) => break,
        }
    }
    answer.u16(qids.len() as u16);
    let whole = qids.len() == names.len();
    qids.into_iter().for_each(|qid| answer.qid(qid));
    if whole {
        if new == fid {
            state.locks.forget_fid(fid);
        }
        if let Some(watches) = state.watching() {
            watches.add(&node);
        }
        state.fids.put(new, node, uid);
    }
    Ok(())
}
