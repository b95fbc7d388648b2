//! Tgetattr, Tsetattr, Tstatfs, Treadlink.

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, Uid,
};
use rustix::fs::{chownat, ftruncate, readlinkat, utimensat};
use rustix::io::Errno;

use super::open::open_file;
use super::place::{clean_mode, gid_of};
use crate::fids::Opened;
use crate::node::{Node, qid_of};
use crate::state::{Request, State};
use crate::wire::{Answer, Body, READ_HEADER};

/// All that stat(2) has.
const BASIC: u64 = 0x7ff;
const GENERATION: u64 = 0x1000;
/// What file systems' own numbers a guest would know nothing of.
const V9FS_MAGIC: u32 = 0x0102_1997;

/// What programs that look for themselves take, as `cp` and `cat`.
const AT_ONCE: u64 = 128 * 1024;

const MODE: u32 = 1;
const UID: u32 = 2;
const GID: u32 = 4;
const SIZE: u32 = 8;
const ATIME: u32 = 0x10;
const MTIME: u32 = 0x20;
const ATIME_SET: u32 = 0x80;
const MTIME_SET: u32 = 0x100;

pub fn getattr(state: &mut State, mut body: Body, answer: &mut Answer) -> Result<(), Errno> {
    let (fid, _mask) = (body.u32()?, body.u64()?);
    body.end()?;
    let node = state.fids.node(fid)?;
    let stat = node.stat()?;
    let (uid, gid) = state.share.owners.shown(&stat);
    answer.u64(BASIC | node.generation.map_or(0, |_| GENERATION));
    answer.qid(qid_of(&stat, state.share.home()));
    answer.u32(stat.st_mode);
    answer.u32(uid);
    answer.u32(gid);
    let numbers = [
        stat.st_nlink,
        encoded(stat.st_rdev),
        stat.st_size as u64,
        at_once(stat.st_blksize as u64, state.msize),
        stat.st_blocks as u64,
    ];
    let times = [
        (stat.st_atime as u64, stat.st_atime_nsec),
        (stat.st_mtime as u64, stat.st_mtime_nsec),
        (stat.st_ctime as u64, stat.st_ctime_nsec),
    ];
    numbers.into_iter().for_each(|number| answer.u64(number));
    for (seconds, nanoseconds) in times {
        answer.u64(seconds);
        answer.u64(nanoseconds);
    }
    // Birth and version: nobody asks for them.
    [0, 0, node.generation.unwrap_or(0).into(), 0]
        .into_iter()
        .for_each(|number| answer.u64(number));
    Ok(())
}

/// How much a program of the guest should read or write at once (st_blksize): each piece is a message to here and back,
/// whatever suits the disk. A power of two, as the disk's.
fn at_once(disk: u64, msize: u32) -> u64 {
    let message = u64::from(msize).saturating_sub(READ_HEADER as u64).max(1);
    let whole = 1 << message.ilog2();
    disk.max(AT_ONCE.min(whole))
}

/// As the guest's kernel decodes it (new_decode_dev).
fn encoded(device: u64) -> u64 {
    let (major, minor) = (
        u64::from(rustix::fs::major(device)),
        u64::from(rustix::fs::minor(device)),
    );
    minor & 0xff | major << 8 | (minor & !0xff) << 12
}

struct Wanted {
    valid: u32,
    mode: u32,
    uid: u32,
    gid: u32,
    size: u64,
    times: Timestamps,
}

impl Wanted {
    fn parse(body: &mut Body) -> Result<Self, Errno> {
        let (valid, mode, uid, gid, size) = (body.u32()?, body.u32()?, body.u32()?, body.u32()?, body.u64()?);
        let mut time = |changes: u32, set: u32| {
            let (seconds, nanoseconds) = (body.u64()? as i64, body.u64()?);
            Ok(match (valid & changes != 0, valid & set != 0) {
                (false, _) => Timespec {
                    tv_sec: 0,
                    tv_nsec: UTIME_OMIT,
                },
                (true, false) => Timespec {
                    tv_sec: 0,
                    tv_nsec: UTIME_NOW,
                },
                (true, true) if nanoseconds >= 1_000_000_000 => return Err(Errno::INVAL),
                (true, true) => Timespec {
                    tv_sec: seconds,
                    tv_nsec: nanoseconds as _,
                },
            })
        };
        let (last_access, last_modification) = (time(ATIME, ATIME_SET)?, time(MTIME, MTIME_SET)?);
        Ok(Self {
            valid,
            mode,
            uid,
            gid,
            size,
            times: Timestamps {
                last_access,
                last_modification,
            },
        })
    }

    fn has(&self, bits: u32) -> bool {
        self.valid & bits != 0
    }
}

/// Sizes before times, which they change; owners before modes, which they strip.
pub fn setattr(state: &mut State, request: &Request, mut body: Body) -> Result<(), Errno> {
    let fid = body.u32()?;
    let wanted = Wanted::parse(&mut body)?;
    body.end()?;
    state.share.check_writable()?;
    let node = state.fids.node(fid)?;
    state.share.check_shared(&node)?;
    if wanted.has(UID | GID) {
        set_owner(state, &node, &wanted)?;
    }
    if wanted.has(MODE) {
        if node.kind == FileType::Symlink {
            return Err(Errno::OPNOTSUPP);
        }
        let mode = Mode::from_raw_mode(clean_mode(wanted.mode, node.kind));
        rustix::fs::chmod(node.link(), mode)?;
    }
    if wanted.has(SIZE) {
        set_size(state, request, fid, &node, wanted.size)?;
    }
    if wanted.has(ATIME | MTIME) {
        utimensat(CWD, node.link(), &wanted.times, AtFlags::empty())?;
    }
    Ok(())
}

fn set_owner(state: &State, node: &Node, wanted: &Wanted) -> Result<(), Errno> {
    let uid = wanted.has(UID).then_some(wanted.uid);
    let gid = wanted.has(GID).then_some(wanted.gid);
    if state.share.owners.are_real() {
        let uid = uid.filter(|&uid| uid != u32::MAX).map(Uid::from_raw);
        let gid: Option<Gid> = gid.and_then(gid_of);
        return chownat(node.fd(), "", uid, gid, AtFlags::EMPTY_PATH);
    }
    let stat: Stat = node.stat()?;
    let (shown_uid, shown_gid) = state.share.owners.shown(&stat);
    if uid.is_some_and(|uid| uid != shown_uid) || gid.is_some_and(|gid| gid != shown_gid) {
        return Err(Errno::PERM);
    }
    // It changes nothing, but for the time of the last change.
    chownat(node.fd(), "", None, None, AtFlags::EMPTY_PATH)
}

/// By the guest's own open file where it has one: its mode may forbid to open it again.
fn set_size(state: &mut State, request: &Request, fid: u32, node: &Node, size: u64) -> Result<(), Errno> {
    if node.is_directory() {
        return Err(Errno::ISDIR);
    }
    i64::try_from(size).map_err(|_| Errno::FBIG)?;
    if let Some(Opened::File(file)) = &state.fids.get(fid)?.opened {
        match ftruncate(file, size) {
            Err(Errno::INVAL | Errno::BADF) => {} // opened for reading only
            other => return other,
        }
    }
    let file = open_file(state, request, node, OFlags::WRONLY)?;
    ftruncate(&file, size)
}

pub fn readlink(state: &mut State, mut body: Body, answer: &mut Answer) -> Result<(), Errno> {
    let fid = body.u32()?;
    body.end()?;
    let node = state.fids.node(fid)?;
    if node.kind != FileType::Symlink {
        return Err(Errno::INVAL);
    }
    answer.text(readlinkat(node.fd(), "", Vec::new())?.as_bytes());
    Ok(())
}

pub fn statfs(state: &mut State, mut body: Body, answer: &mut Answer) -> Result<(), Errno> {
    let fid = body.u32()?;
    body.end()?;
    let stat = rustix::fs::fstatfs(state.fids.node(fid)?.fd())?;
    answer.u32(V9FS_MAGIC);
    answer.u32(stat.f_bsize as u32);
    for number in [
        stat.f_blocks,
        stat.f_bfree,
        stat.f_bavail,
        stat.f_files,
        stat.f_ffree,
    ] {
        answer.u64(number);
    }
    answer.u64(state.share.home());
    answer.u32(stat.f_namelen as u32);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_for_as_much_at_once_as_a_message_carries() {
        assert_eq!(at_once(4096, 512 * 1024), AT_ONCE);
        assert_eq!(at_once(4096, 64 * 1024), 32 * 1024);
        assert_eq!(at_once(4096, 4096), 4096);
        assert_eq!(at_once(1 << 20, 512 * 1024), 1 << 20);
    }

    #[test]
    fn encodes_devices_as_linux_does() {
        assert_eq!(encoded(rustix::fs::makedev(1, 3)), 0x103);
        assert_eq!(
            encoded(rustix::fs::makedev(259, 0x12345)),
            0x45 | 259 << 8 | 0x12300 << 12
        );
    }
}
