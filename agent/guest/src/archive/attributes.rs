//! What a file gets besides its data: owner, mode, extended attributes, times.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::entry::{Entry, c_string};

/// Whose it becomes: as in the archive, or root's.
pub fn owner(entry: &Entry, keep_owner: bool) -> (Uid, Gid) {
    let (uid, gid) = if keep_owner {
        (entry.uid, entry.gid)
    } else {
        (0, 0)
    };
    (Uid::from_raw(uid), Gid::from_raw(gid))
}

/// Owner, then mode, then attributes: a change of owner drops setuid bits and capabilities. Then the times.
pub fn adorn(fd: &OwnedFd, entry: &Entry, keep_owner: bool) -> io::Result<()> {
    let (uid, gid) = owner(entry, keep_owner);
    rustix::fs::fchown(fd, Some(uid), Some(gid))?;
    rustix::fs::fchmod(fd, Mode::from(entry.mode))?;
    for (name, value) in &entry.xattrs {
        match rustix::fs::fsetxattr(fd, c_string(name)?, value, XattrFlags::empty()) {
            // A tmpfs has no user attributes: the file is worth more than they are.
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(rustix::fs::futimens(fd, &times(entry))?)
}

pub fn times(entry: &Entry) -> Timestamps {
    let seconds = entry.mtime_ns.div_euclid(1_000_000_000);
    let time = Timespec {
        tv_sec: i64::try_from(seconds).unwrap_or(0),
        tv_nsec: i64::try_from(entry.mtime_ns.rem_euclid(1_000_000_000)).unwrap_or(0),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}
