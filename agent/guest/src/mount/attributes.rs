//! What a copied file gets besides its data.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{Gid, Mode, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

/// How far a directory has been filled (`fill`): its own, and never copied.
pub const MARK: &str = "trusted.kiln.fill";
/// XATTR_LIST_MAX and XATTR_SIZE_MAX of linux/limits.h.
const MAX: usize = 64 << 10;

/// Owner, attributes, mode, times: a change of owner drops setuid bits and capabilities, an access list changes the mode.
pub fn adorn(from: &OwnedFd, into: &OwnedFd, stat: &Stat) -> io::Result<()> {
    let (uid, gid) = owner(stat);
    rustix::fs::fchown(into, Some(uid), Some(gid))?;
    copy(
        |list| rustix::fs::flistxattr(from, list),
        |name, value| rustix::fs::fgetxattr(from, name, value),
        |name, value| rustix::fs::fsetxattr(into, name, value, XattrFlags::empty()),
    )?;
    rustix::fs::fchmod(into, mode_of(stat))?;
    Ok(rustix::fs::futimens(into, &times(stat))?)
}

/// Of what is better not opened: a link, a device, a pipe.
pub fn copy_by_name(from: impl AsFd, into: impl AsFd, name: &CStr) -> io::Result<()> {
    let path = |directory: &dyn AsRawFd| {
        let mut path = format!("/proc/self/fd/{}/", directory.as_raw_fd()).into_bytes();
        path.extend(name.to_bytes());
        CString::new(path).expect("a name has no NUL")
    };
    let (from, into) = (path(&from.as_fd()), path(&into.as_fd()));
    copy(
        |list| rustix::fs::llistxattr(&from, list),
        |name, value| rustix::fs::lgetxattr(&from, name, value),
        |name, value| rustix::fs::lsetxattr(&into, name, value, XattrFlags::empty()),
    )
}

fn copy(
    list: impl Fn(&mut [u8]) -> rustix::io::Result<usize>,
    get: impl Fn(&CStr, &mut [u8]) -> rustix::io::Result<usize>,
    set: impl Fn(&CStr, &[u8]) -> rustix::io::Result<()>,
) -> io::Result<()> {
    // Most files have few or none.
    let (mut few, mut many) = ([0; 512], Vec::new());
    let names = match list(&mut few) {
        Ok(length) => &few[..length],
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(()),
        Err(Errno::RANGE) => {
            many.resize(MAX, 0);
            let length = list(&mut many)?;
            &many[..length]
        }
        Err(error) => return Err(error.into()),
    };
    if names.is_empty() {
        return Ok(());
    }
    let mut value = vec![0; MAX];
    for name in names.split_inclusive(|&byte| byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else {
            continue;
        };
        if name.to_bytes() == MARK.as_bytes() {
            continue;
        }
        let length = match get(name, &mut value) {
            Ok(length) => length,
            // Gone since, or nobody's to read (system.nfs4_acl and the like).
            Err(Errno::NODATA | Errno::OPNOTSUPP) => continue,
            Err(error) => return Err(error.into()),
        };
        match set(name, &value[..length]) {
            // The other file system has no such kind of attribute: the file is worth more.
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

pub fn owner(stat: &Stat) -> (Uid, Gid) {
    (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid))
}

pub fn mode_of(stat: &Stat) -> Mode {
    Mode::from(stat.st_mode & 0o7777)
}

pub fn times(stat: &Stat) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: stat.st_atime,
            tv_nsec: stat.st_atime_nsec as _,
        },
        last_modification: Timespec {
            tv_sec: stat.st_mtime,
            tv_nsec: stat.st_mtime_nsec as _,
        },
    }
}
