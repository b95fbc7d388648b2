//! The calls that take a name, each as one function of it: what is asked of all of them alike is asked in a loop.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Result;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;

use crate::sys::{checked, get_xattr, lchown, make_node, path, set_times, set_xattr};

pub struct Call {
    pub name: &'static str,
    pub call: fn(&Path) -> Result<()>,
    /// What it does with the last name.
    pub last: Last,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Last {
    /// Wants it to be there and looks at it.
    Read,
    /// Wants it to be there and changes it.
    Changed,
    /// Wants it to be free.
    Made,
    /// Takes it away.
    Removed,
}

pub const CALLS: &[Call] = &[
    call("stat", Last::Read, |name| fs::metadata(name).map(drop)),
    call("lstat", Last::Read, |name| {
        fs::symlink_metadata(name).map(drop)
    }),
    call("access", Last::Read, |name| access(name, libc::F_OK)),
    call("statfs", Last::Read, statfs),
    call("open to read", Last::Read, |name| {
        File::open(name).map(drop)
    }),
    call("getxattr", Last::Read, |name| {
        no_data(get_xattr(name, "user.none").map(drop))
    }),
    call("open to write", Last::Changed, |name| {
        OpenOptions::new().write(true).open(name).map(drop)
    }),
    call("truncate", Last::Changed, |name| truncate(name, 3)),
    call("chmod", Last::Changed, |name| {
        fs::set_permissions(name, Permissions::from_mode(0o644))
    }),
    call("chown", Last::Changed, |name| {
        std::os::unix::fs::chown(name, Some(0), Some(0))
    }),
    call("lchown", Last::Changed, |name| lchown(name, 0, 0)),
    call("utimensat", Last::Changed, |name| {
        set_times(name, [(9, 9), (9, 9)])
    }),
    call("setxattr", Last::Changed, |name| {
        set_xattr(name, "user.a", b"1")
    }),
    call("open to make", Last::Made, made),
    call("mkdir", Last::Made, |name| {
        fs::DirBuilder::new().mode(0o755).create(name)
    }),
    call("mkfifo", Last::Made, |name| make_node(name, libc::S_IFIFO)),
    call("mknod of a file", Last::Made, |name| {
        make_node(name, libc::S_IFREG)
    }),
    call("mknod of a socket", Last::Made, |name| {
        make_node(name, libc::S_IFSOCK)
    }),
    call("symlink", Last::Made, |name| symlink("somewhere", name)),
    call("link", Last::Made, |name| fs::hard_link(beside(name), name)),
    call("rename onto", Last::Made, |name| {
        fs::rename(beside(name), name)
    }),
    call("rename away", Last::Removed, |name| {
        fs::rename(name, beside(name))
    }),
    call("unlink", Last::Removed, |name| fs::remove_file(name)),
    call("rmdir", Last::Removed, |name| fs::remove_dir(name)),
];

const fn call(name: &'static str, last: Last, call: fn(&Path) -> Result<()>) -> Call {
    Call { name, call, last }
}

/// A file that `link` and `rename` find at the top of the place under test: every name here is below "place-…".
fn beside(name: &Path) -> std::path::PathBuf {
    let top = |part: &&Path| part.file_name().is_some_and(|last| last == "top");
    let top = name.ancestors().find(top).unwrap_or(name);
    top.join("beside")
}

/// A directory that `beside` knows, with its file.
pub fn top(place: &Path) -> Result<std::path::PathBuf> {
    let top = place.join("top");
    fs::create_dir_all(&top)?;
    fs::write(top.join("beside"), "x")?;
    Ok(top)
}

/// An attribute that is not there is an answer.
fn no_data(outcome: Result<()>) -> Result<()> {
    match outcome {
        Err(error) if error.raw_os_error() == Some(libc::ENODATA) => Ok(()),
        other => other,
    }
}

fn made(name: &Path) -> Result<()> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(name)
        .map(drop)
}

pub fn access(name: &Path, how: i32) -> Result<()> {
    // SAFETY: the name ends with a NUL.
    checked(
        unsafe { libc::faccessat(libc::AT_FDCWD, path(name).as_ptr(), how, libc::AT_EACCESS) }
            .into(),
    )
    .map(drop)
}

fn statfs(name: &Path) -> Result<()> {
    // SAFETY: all of it is numbers.
    let mut facts: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the name ends with a NUL, and the facts outlive the call.
    checked(unsafe { libc::statfs(path(name).as_ptr(), &raw mut facts) }.into()).map(drop)
}

pub fn truncate(name: &Path, length: i64) -> Result<()> {
    // SAFETY: the name ends with a NUL.
    checked(unsafe { libc::truncate(path(name).as_ptr(), length) }.into()).map(drop)
}
