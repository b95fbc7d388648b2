//! For tests: what a server would be told to do whom the guest had taken over. The contract tests ask it for everything
//! that the confinement forbids, and the kernel answers.

use std::os::unix::net::UnixStream;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

use crate::wire::{Answer, Body};

pub const KIND: u8 = 248;

/// what[1] text[s]; the answer is empty where it could.
pub fn told(mut body: Body, _answer: &mut Answer) -> Result<(), Errno> {
    let (what, text) = (body.u8()?, body.text()?);
    body.end()?;
    match what {
        b'r' => openat(CWD, text, OFlags::RDONLY, Mode::empty()).map(drop),
        b'w' => openat(CWD, text, OFlags::WRONLY | OFlags::CREATE, Mode::RWXU).map(drop),
        b'm' => openat(
            CWD,
            text,
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL,
            Mode::SUID | Mode::RWXU,
        )
        .map(drop),
        b'x' => rustix::fs::chmod(text, Mode::SUID | Mode::RWXU),
        b'p' => openat(CWD, text, OFlags::PATH, Mode::empty()).map(drop),
        b'u' => as_errno(UnixStream::connect(String::from_utf8_lossy(text).as_ref()).map(drop)),
        b's' => number(text).and_then(socket),
        b'c' => number(text).and_then(|syscall| raw(syscall.into())),
        _ => Err(Errno::INVAL),
    }
}

fn number(text: &[u8]) -> Result<i32, Errno> {
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(Errno::INVAL)
}

fn socket(family: i32) -> Result<(), Errno> {
    // SAFETY: passes numbers; the descriptor stays open.
    as_errno(check(
        unsafe { libc::socket(family, libc::SOCK_STREAM, 0) }.into(),
    ))
}

/// With zeros for arguments: enough to see whether the filter lets it through.
fn raw(syscall: libc::c_long) -> Result<(), Errno> {
    // SAFETY: only for the harmless ones that the test names.
    as_errno(check(unsafe { libc::syscall(syscall, 0, 0, 0, 0, 0, 0) }))
}

fn check(result: libc::c_long) -> std::io::Result<()> {
    if result < 0 {
        Err(std::io::Error::last_os_error())
    } else {
        Ok(())
    }
}

fn as_errno(result: std::io::Result<()>) -> Result<(), Errno> {
    result.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}
