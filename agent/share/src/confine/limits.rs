//! Descriptors, core dumps, signals.

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::fids::MAX_FIDS;
use crate::lock_table::MAX_HOLDERS;
use crate::watches::MAX_WATCHES;

/// Beside those of fids: locks, watches, the socket, what is open for a moment.
const OTHERS: u64 = (MAX_HOLDERS + MAX_WATCHES) as u64 + 64;

/// Closes what nobody meant for it, and says how many fids there are descriptors for.
pub fn set(kept: &[i32]) -> Result<usize, Errno> {
    close_others(kept);
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)?;
    let wanted = 2 * MAX_FIDS as u64 + OTHERS;
    let most = getrlimit(Resource::Nofile)
        .maximum
        .unwrap_or(u64::MAX)
        .min(wanted);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(most),
            maximum: Some(most),
        },
    )?;
    let fids = most.saturating_sub(OTHERS) / 2;
    Ok((fids as usize).clamp(64, MAX_FIDS))
}

fn close_others(kept: &[i32]) {
    let mut kept = kept.to_vec();
    kept.sort_unstable();
    let mut from = 3;
    for fd in kept {
        close_range(from, fd - 1);
        from = fd + 1;
    }
    close_range(from, i32::MAX);
}

fn close_range(first: i32, last: i32) {
    if first <= last {
        // SAFETY: nothing in this process holds one of them yet, but for what it was started with.
        unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    }
}

extern "C" fn end(_signal: libc::c_int) {
    // SAFETY: may be called in a handler.
    unsafe { libc::_exit(0) }
}

/// SIGTERM is how it is told to go: what it has done is in the ledger. A write to a peer that has gone, or beyond a limit
/// on sizes, is an error and no death.
pub fn end_quietly() {
    // SAFETY: the handler calls nothing but _exit.
    unsafe {
        libc::signal(
            libc::SIGTERM,
            end as extern "C" fn(libc::c_int) as libc::sighandler_t,
        );
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}
