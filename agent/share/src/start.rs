//! What comes before all else: kilnd notes the process before it serves, and a server that root has started becomes somebody else.

use std::io::{self, Read};

/// False: kilnd has ended before it noted this process, so the next one would not find it and start a second.
pub fn awaited(mut input: impl Read) -> bool {
    input.read(&mut [0]).is_ok_and(|count| count > 0)
}

/// Nothing of root is left: no group, and with the user the capabilities go.
pub fn become_user(uid: u32, gid: u32) -> io::Result<()> {
    // SAFETY: no memory is passed; this process has one thread.
    let dropped = unsafe {
        libc::setgroups(0, std::ptr::null()) | libc::setresgid(gid, gid, gid) | libc::setresuid(uid, uid, uid)
    };
    // Its own /proc/self would be root's otherwise, and it could make no user namespace.
    // SAFETY: no memory is passed.
    let seen = unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1) };
    match dropped | seen {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_at_a_byte_and_not_at_the_end() {
        assert!(awaited(&b"\n"[..]));
        assert!(!awaited(&b""[..]));
    }
}
