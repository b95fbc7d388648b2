//! Clocks, and what a restored or freshly booted guest needs from its host: the time and randomness.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};

const NS: i64 = 1_000_000_000;
/// What the wire allows.
pub const MAX_ENTROPY: usize = 64;
const RNDADDENTROPY: libc::Ioctl = 0x4008_5203;
const RNDRESEEDCRNG: libc::Ioctl = 0x5207;

pub fn boottime_us() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    (now.tv_sec * 1_000_000 + now.tv_nsec / 1000).unsigned_abs()
}

pub fn realtime_ns() -> i64 {
    let now = clock_gettime(ClockId::Realtime);
    now.tv_sec.saturating_mul(NS).saturating_add(now.tv_nsec)
}

/// Steps the clock; gives by how much.
pub fn set_realtime_ns(unix_ns: i64) -> io::Result<i64> {
    let before = realtime_ns();
    let time = Timespec {
        tv_sec: unix_ns.div_euclid(NS),
        tv_nsec: unix_ns.rem_euclid(NS),
    };
    clock_settime(ClockId::Realtime, time)?;
    Ok(unix_ns.saturating_sub(before))
}

/// Mixes `bytes` into the kernel's random pool, credits them and reseeds at once: clones of one memory image must not
/// draw the same numbers.
pub fn add_entropy(bytes: &[u8]) -> io::Result<()> {
    #[repr(C)]
    struct PoolInfo {
        entropy_count: libc::c_int,
        size: libc::c_int,
        bytes: [u8; MAX_ENTROPY],
    }
    let mut info = PoolInfo {
        entropy_count: 0,
        size: 0,
        bytes: [0; MAX_ENTROPY],
    };
    let length = bytes.len().min(MAX_ENTROPY);
    info.bytes[..length].copy_from_slice(&bytes[..length]);
    info.size = length as libc::c_int;
    info.entropy_count = info.size * 8;
    let pool = File::options().write(true).open("/dev/urandom")?;
    // SAFETY: the ioctl reads `size` bytes behind the two counts, and they are there.
    let added = unsafe { libc::ioctl(pool.as_raw_fd(), RNDADDENTROPY, &raw const info) };
    if added != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: takes no argument. Kernels before 4.14 lack it: the bytes are in the pool all the same.
    unsafe { libc::ioctl(pool.as_raw_fd(), RNDRESEEDCRNG, 0) };
    Ok(())
}
