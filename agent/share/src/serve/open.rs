//! Tlopen, Tread, Twrite, Tfsync, Tclunk.

use std::fs::File;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::extended;
use super::place::clean_mode;
use crate::fids::{Fid, Opened};
use crate::node::Node;
use crate::state::{Request, State};
use crate::stream::Stream;
use crate::wire::{Answer, Body, READ_HEADER};

const ACCESS: u32 = 3;

/// Of the guest's flags what means something here. O_APPEND is the guest's affair, which says where every write goes: with
/// it a write that is sent again would be there twice. O_DIRECT would ask for aligned memory, O_NOATIME for ownership.
pub fn access(flags: u32) -> OFlags {
    let kept = OFlags::RWMODE | OFlags::DSYNC | OFlags::SYNC | OFlags::TRUNC;
    OFlags::from_bits_retain(flags) & kept
}

pub fn lopen(state: &mut State, request: &Request, mut body: Body, answer: &mut Answer) -> Result<(), Errno> {
    let (fid, flags) = (body.u32()?, body.u32()?);
    body.end()?;
    let node = state.fids.node(fid)?;
    if state.fids.get(fid)?.opened.is_some() {
        return Err(Errno::BADF);
    }
    state.share.check_inside(&node)?;
    let flags = access(flags);
    let opened = if node.is_directory() {
        if flags.intersects(OFlags::RWMODE | OFlags::TRUNC) {
            return Err(Errno::ISDIR);
        }
        Opened::Directory(Stream::new(node.open(OFlags::RDONLY | OFlags::DIRECTORY)?))
    } else {
        Opened::File(Arc::new(open_file(state, request, &node, flags)?))
    };
    answer.qid(state.share.qid(&node)?);
    answer.u32(0); // as much at once as a message holds
    state.fids.get(fid)?.opened = Some(opened);
    Ok(())
}

pub fn open_file(state: &State, request: &Request, node: &Node, flags: OFlags) -> Result<File, Errno> {
    if flags.bits() & ACCESS == ACCESS {
        return Err(Errno::INVAL);
    }
    if flags.intersects(OFlags::RWMODE | OFlags::TRUNC) {
        state.share.check_writable()?;
    }
    match node.open(flags) {
        Err(Errno::ACCESS) if state.lenient || request.again => open_lent(state, node, flags),
        other => other.map(File::from),
    }
}

/// What the guest had open before the server was replaced, and whose mode forbids it now: it is the server's own, and
/// the guest could change its mode itself. The ledger knows the mode until it is back.
fn open_lent(state: &State, node: &Node, flags: OFlags) -> Result<File, Errno> {
    let stat = node.stat()?;
    if !state.share.owners.owns(&stat) || state.share.read_only {
        return Err(Errno::ACCESS);
    }
    let mode = state
        .ledger
        .lent(node.inode)
        .unwrap_or(clean_mode(stat.st_mode, node.kind));
    state.ledger.lend(node.inode, mode);
    rustix::fs::chmod(node.link(), Mode::from_raw_mode(mode | 0o600))?;
    let file = node.open(flags);
    rustix::fs::chmod(node.link(), Mode::from_raw_mode(mode))?;
    state.ledger.give_back();
    file.map(File::from)
}

pub fn read(state: &mut State, mut body: Body, answer: &mut Answer) -> Result<(), Errno> {
    let (fid, offset, count) = (body.u32()?, body.u64()?, body.u32()?);
    body.end()?;
    let room = (state.msize as usize)
        .saturating_sub(READ_HEADER)
        .min(count as usize);
    match &state.fids.get(fid)?.opened {
        Some(Opened::File(file)) => {
            let file = file.clone();
            answer.counted(room, |buffer| rustix::io::pread(&file, buffer, checked(offset)?))
        }
        Some(Opened::Attribute(value)) => {
            let start = usize::try_from(offset).unwrap_or(usize::MAX).min(value.len());
            let piece = &value[start..][..room.min(value.len() - start)];
            answer.u32(piece.len() as u32);
            answer.bytes(piece);
            Ok(())
        }
        Some(Opened::Directory(_)) => Err(Errno::ISDIR),
        _ => Err(Errno::BADF),
    }
}

pub fn write(state: &mut State, mut body: Body, answer: &mut Answer) -> Result<(), Errno> {
    let (fid, offset, count) = (body.u32()?, body.u64()?, body.u32()?);
    let bytes = body.bytes(count as usize)?;
    body.end()?;
    let written = match &mut state.fids.get(fid)?.opened {
        Some(Opened::File(file)) => rustix::io::pwrite(file, bytes, checked(offset)?)?,
        Some(Opened::NewAttribute(attribute)) => extended::write(attribute, offset, bytes)?,
        _ => return Err(Errno::BADF),
    };
    answer.u32(written as u32);
    Ok(())
}

/// The kernel's offsets are signed.
fn checked(offset: u64) -> Result<u64, Errno> {
    i64::try_from(offset).map(|_| offset).map_err(|_| Errno::INVAL)
}

/// Answered later: it may take long.
pub fn fsync(state: &mut State, request: &Request, mut body: Body) -> Result<(), Errno> {
    let (fid, data_only) = (body.u32()?, body.u32()?);
    body.end()?;
    let file = match &state.fids.get(fid)?.opened {
        Some(Opened::File(file)) => file.clone(),
        Some(Opened::Directory(stream)) => Arc::new(File::from(rustix::io::dup(stream.fd())?)),
        _ => return Err(Errno::BADF),
    };
    state.jobs.sync(request.entry.tag, file, data_only != 0)
}

pub fn clunk(state: &mut State, request: &Request, mut body: Body) -> Result<(), Errno> {
    let number = body.u32()?;
    body.end()?;
    let Fid { node, opened, .. } = match state.fids.remove(number) {
        // An earlier server had done that before the guest heard of it.
        Err(_) if request.again => return Ok(()),
        other => other?,
    };
    state.locks.forget_fid(number);
    match opened {
        Some(Opened::NewAttribute(attribute)) => extended::set(state, request, &node, &attribute),
        _ => Ok(()),
    }
}

/// The fid of a clunk that an earlier server did.
pub fn forget(state: &mut State, mut body: Body) -> Result<(), Errno> {
    let fid = body.u32()?;
    state.locks.forget_fid(fid);
    state.fids.remove(fid).map(drop)
}

/// Linux asks only where Tunlinkat is not there. The fid goes whatever comes of it.
pub fn remove(state: &mut State, mut body: Body) -> Result<(), Errno> {
    let fid = body.u32()?;
    body.end()?;
    state.fids.remove(fid)?;
    state.locks.forget_fid(fid);
    Err(Errno::OPNOTSUPP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_appends_and_keeps_what_matters() {
        let all =
            OFlags::RDWR | OFlags::APPEND | OFlags::TRUNC | OFlags::DIRECT | OFlags::NOATIME | OFlags::SYNC;
        assert_eq!(access(all.bits()), OFlags::RDWR | OFlags::TRUNC | OFlags::SYNC);
        assert_eq!(
            access((OFlags::CREATE | OFlags::EXCL | OFlags::PATH).bits()),
            OFlags::RDONLY
        );
    }

    #[test]
    fn takes_no_offset_that_the_kernel_cannot_have() {
        assert_eq!(checked(1 << 62), Ok(1 << 62));
        assert_eq!(checked(1 << 63), Err(Errno::INVAL));
    }
}
