//! The calls that the standard library does not have.

use std::ffi::CString;
use std::fs::File;
use std::io::{Error, Result};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub fn path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("no name here holds a NUL")
}

/// The outcome of a call that gives -1 for a failure.
pub fn checked(outcome: i64) -> Result<i64> {
    if outcome < 0 {
        Err(Error::last_os_error())
    } else {
        Ok(outcome)
    }
}

pub fn set_xattr(file: &Path, name: &str, value: &[u8]) -> Result<()> {
    set_xattr_with(file, name, value, 0)
}

pub fn set_xattr_with(file: &Path, name: &str, value: &[u8], flags: i32) -> Result<()> {
    let name = CString::new(name).expect("it holds no NUL");
    // SAFETY: both names end with a NUL, and the value is as long as is said.
    let outcome = unsafe {
        libc::lsetxattr(
            path(file).as_ptr(),
            name.as_ptr(),
            value.as_ptr().cast(),
            value.len(),
            flags,
        )
    };
    checked(outcome.into()).map(|_| ())
}

pub fn get_xattr(file: &Path, name: &str) -> Result<Vec<u8>> {
    let name = CString::new(name).expect("it holds no NUL");
    let mut value = vec![0u8; 65_536];
    // SAFETY: the buffer is as long as is said.
    let length = unsafe {
        libc::lgetxattr(
            path(file).as_ptr(),
            name.as_ptr(),
            value.as_mut_ptr().cast(),
            value.len(),
        )
    };
    value.truncate(usize::try_from(checked(length as i64)?).unwrap_or(0));
    Ok(value)
}

/// Seconds and nanoseconds of both times.
pub fn set_times(file: &Path, times: [(i64, i64); 2]) -> Result<()> {
    let times = times.map(|(tv_sec, tv_nsec)| libc::timespec { tv_sec, tv_nsec });
    // SAFETY: the name ends with a NUL; there are two times.
    let outcome = unsafe {
        libc::utimensat(
            libc::AT_FDCWD,
            path(file).as_ptr(),
            times.as_ptr(),
            libc::AT_SYMLINK_NOFOLLOW,
        )
    };
    checked(outcome.into()).map(|_| ())
}

pub fn make_node(file: &Path, kind: libc::mode_t) -> Result<()> {
    // SAFETY: the name ends with a NUL.
    checked(unsafe { libc::mknod(path(file).as_ptr(), kind | 0o600, 0) }.into()).map(|_| ())
}

/// A lock of fcntl(2), on the whole file, without waiting. `command`: F_SETLK or F_OFD_SETLK.
pub fn lock(file: &File, kind: i32, command: i32) -> Result<()> {
    // SAFETY: all of it is numbers; zeros are the whole file.
    let mut wanted: libc::flock = unsafe { std::mem::zeroed() };
    wanted.l_type = kind as libc::c_short;
    wanted.l_whence = libc::SEEK_SET as libc::c_short;
    // SAFETY: the lock outlives the call.
    checked(unsafe { libc::fcntl(file.as_raw_fd(), command, &raw const wanted) }.into()).map(|_| ())
}

pub fn flock(file: &File, operation: i32) -> Result<()> {
    // SAFETY: no memory is passed.
    checked(unsafe { libc::flock(file.as_raw_fd(), operation) }.into()).map(|_| ())
}

/// Runs `body` in a child, which says by its exit code how it went: 0 for true.
pub fn in_child(body: impl FnOnce() -> bool) -> Result<bool> {
    in_child_coded(|| i32::from(!body())).map(|code| code == 0)
}

/// Runs `body` in a child and gives its exit code; -1 where a signal has ended it.
pub fn in_child_coded(body: impl FnOnce() -> i32) -> Result<i32> {
    wait_for(fork(body)?)
}

/// Starts a child that ends with what `body` gives. @returns its number, for `wait_for`
pub fn fork(body: impl FnOnce() -> i32) -> Result<i32> {
    // SAFETY: this program has one thread.
    let child = unsafe { libc::fork() };
    checked(child.into())?;
    if child == 0 {
        let code = body();
        // SAFETY: ends this process, which shares nothing but descriptors.
        unsafe { libc::_exit(code) };
    }
    Ok(child)
}

pub fn wait_for(child: i32) -> Result<i32> {
    let mut status = 0;
    // SAFETY: the status outlives the call.
    checked(unsafe { libc::waitpid(child, &raw mut status, 0) }.into())?;
    Ok(if libc::WIFEXITED(status) {
        libc::WEXITSTATUS(status)
    } else {
        -1
    })
}

pub fn lchown(file: &Path, uid: u32, gid: u32) -> Result<()> {
    // SAFETY: the name ends with a NUL.
    checked(unsafe { libc::lchown(path(file).as_ptr(), uid, gid) }.into()).map(drop)
}

/// Runs `body` in a child that is the user nobody and in no group but nobody's, and gives what it said.
pub fn as_nobody(body: impl FnOnce() -> Result<()>) -> Result<Result<()>> {
    const NOBODY: u32 = 65_534;
    let said = in_child_coded(|| {
        // SAFETY: no memory is passed; this process is a child with one thread.
        let changed = unsafe {
            libc::setgroups(0, std::ptr::null()) | libc::setgid(NOBODY) | libc::setuid(NOBODY)
        };
        match checked(changed.into()).map(|_| body()) {
            Ok(Ok(())) => 0,
            Ok(Err(error)) => error.raw_os_error().unwrap_or(255),
            Err(_) => 254,
        }
    })?;
    match said {
        0 => Ok(Ok(())),
        254 | 255 => Err(Error::other(format!("the child ended with {said}"))),
        errno => Ok(Err(Error::from_raw_os_error(errno))),
    }
}
