//! Landlock: what is opened has to be within the share, whatever a taken-over server asks for.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

const READ: u64 = 1 << 2 | 1 << 3;
const WRITE_FILE: u64 = 1 << 1;
const REMOVE: u64 = 1 << 4 | 1 << 5;
/// Directories, files, sockets, FIFOs, links: no devices.
const MAKE: u64 = 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 12;
/// Renames and links from one directory to another; since version 2, without which there would be none.
const REFER: u64 = 1 << 13;
const TRUNCATE: u64 = 1 << 14;

const MIN_VERSION: i64 = 2;
const VERSION: u32 = 1;
const PATH_BENEATH: i32 = 1;

#[derive(Clone, Copy)]
pub struct Rights {
    pub read_only: bool,
    /// No names come or go.
    pub one_file: bool,
}

impl Rights {
    fn bits(self) -> u64 {
        match (self.read_only, self.one_file) {
            (true, _) => READ,
            (false, true) => READ | WRITE_FILE | TRUNCATE,
            (false, false) => READ | WRITE_FILE | TRUNCATE | REMOVE | MAKE | REFER,
        }
    }
}

#[repr(C)]
struct Ruleset {
    files: u64,
    network: u64,
    scoped: u64,
}

#[repr(C, packed)]
struct Beneath {
    allowed: u64,
    parent: i32,
}

/// What of all that there is a kernel's version knows.
fn handled(version: i64) -> (Ruleset, usize) {
    let (files, network, scoped) = match version {
        2 => ((1 << 14) - 1, 0, 0),
        3 => ((1 << 15) - 1, 0, 0),
        4 => ((1 << 15) - 1, 3, 0),
        5 => ((1 << 16) - 1, 3, 0),
        _ => ((1 << 16) - 1, 3, 3),
    };
    let length = match version {
        2 | 3 => 8,
        4 | 5 => 16,
        _ => 24,
    };
    (
        Ruleset {
            files,
            network,
            scoped,
        },
        length,
    )
}

/// From here on this thread, and all that it starts, opens nothing but the share. It needs no_new_privs.
/// @throws NOSYS or OPNOTSUPP where the kernel has none
pub fn restrict(root: &OwnedFd, rights: Rights) -> Result<(), Errno> {
    // SAFETY: asks for the version and passes no memory.
    let version = check(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, 0, 0, VERSION) })?;
    if version < MIN_VERSION {
        return Err(Errno::OPNOTSUPP);
    }
    let (ruleset, length) = handled(version);
    // SAFETY: the ruleset is readable for `length`.
    let fd = check(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, &ruleset, length, 0) })?;
    // SAFETY: the kernel has just made it for this process.
    let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    let rule = Beneath {
        allowed: rights.bits() & ruleset.files,
        parent: root.as_raw_fd(),
    };
    // SAFETY: the rule is of the kind that is named, and outlives the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            fd.as_raw_fd(),
            PATH_BENEATH,
            &rule,
            0,
        )
    })?;
    // SAFETY: passes numbers.
    check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, fd.as_raw_fd(), 0) }).map(drop)
}

fn check(result: libc::c_long) -> Result<i64, Errno> {
    if result >= 0 {
        return Ok(result);
    }
    Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXECUTE: u64 = 1;
    const DEVICES: u64 = 1 << 6 | 1 << 11;

    #[test]
    fn nothing_is_run_and_no_device_made_and_nothing_written_where_it_is_read_only() {
        for (read_only, one_file) in [(true, true), (true, false), (false, true), (false, false)] {
            let bits = Rights { read_only, one_file }.bits();
            assert_eq!(bits & (EXECUTE | DEVICES), 0);
            assert_eq!(bits & (WRITE_FILE | TRUNCATE) == 0, read_only);
            assert_eq!(bits & (MAKE | REMOVE | REFER) == 0, read_only || one_file);
        }
    }

    #[test]
    fn handles_no_right_that_a_kernel_does_not_know() {
        assert_eq!(handled(2).0.files & TRUNCATE, 0);
        assert_eq!(handled(3).1, 8);
        assert_eq!((handled(6).1, handled(60).1), (24, 24));
    }
}
