//! Extended attributes.

use std::ffi::CString;
use std::fs;
use std::io::Result;
use std::path::Path;

use crate::sys::{checked, get_xattr, path, set_xattr, set_xattr_with};
use crate::{Case, Outcome, Told, refused, same};

pub const CASES: &[Case] = &[
    ("user attributes are listed and removed", listed),
    (
        "XATTR_CREATE and XATTR_REPLACE say what is there",
        create_and_replace,
    ),
    ("an attribute has room for no more than 64 KiB", bounds),
    ("an empty attribute is one", empty),
    ("a directory has user attributes", directory),
    ("a link has no user attributes", link),
    ("trusted attributes are kept", trusted),
    ("an access list is kept", access_list),
];

fn file(place: &Path) -> Result<std::path::PathBuf> {
    let file = place.join("file");
    fs::write(&file, "x")?;
    Ok(file)
}

fn names(file: &Path) -> Result<Vec<String>> {
    let mut list = vec![0u8; 65_536];
    // SAFETY: the buffer is as long as is said.
    let length =
        unsafe { libc::llistxattr(path(file).as_ptr(), list.as_mut_ptr().cast(), list.len()) };
    list.truncate(usize::try_from(checked(length as i64)?).unwrap_or(0));
    let mut names: Vec<String> = list
        .split(|&byte| byte == 0)
        .filter(|name| name.starts_with(b"user."))
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect();
    names.sort();
    Ok(names)
}

fn remove(file: &Path, name: &str) -> Result<()> {
    let name = CString::new(name).expect("it holds no NUL");
    // SAFETY: both names end with a NUL.
    checked(unsafe { libc::lremovexattr(path(file).as_ptr(), name.as_ptr()) }.into()).map(drop)
}

fn listed(place: &Path) -> Outcome {
    let file = file(place).told("write")?;
    for name in ["user.b", "user.a", "user.c.d"] {
        set_xattr(&file, name, b"1").told("setxattr")?;
    }
    same(
        names(&file).told("listxattr")?,
        vec!["user.a".into(), "user.b".into(), "user.c.d".to_string()],
    )?;
    remove(&file, "user.a").told("removexattr")?;
    refused(remove(&file, "user.a"), libc::ENODATA)?;
    refused(get_xattr(&file, "user.a"), libc::ENODATA)?;
    same(names(&file).told("listxattr")?.len(), 2)
}

fn create_and_replace(place: &Path) -> Outcome {
    let file = file(place).told("write")?;
    refused(
        set_xattr_with(&file, "user.a", b"1", libc::XATTR_REPLACE),
        libc::ENODATA,
    )?;
    set_xattr_with(&file, "user.a", b"1", libc::XATTR_CREATE).told("create")?;
    refused(
        set_xattr_with(&file, "user.a", b"2", libc::XATTR_CREATE),
        libc::EEXIST,
    )?;
    set_xattr_with(&file, "user.a", b"3", libc::XATTR_REPLACE).told("replace")?;
    same(get_xattr(&file, "user.a").told("getxattr")?, b"3".to_vec())
}

fn bounds(place: &Path) -> Outcome {
    let file = file(place).told("write")?;
    refused(set_xattr(&file, "user.a", &vec![1; 65_537]), libc::E2BIG)?;
    let long = format!("user.{}", "n".repeat(251));
    refused(set_xattr(&file, &long, b"1"), libc::ERANGE)?;
    set_xattr(&file, "user.a", &[1; 100]).told("setxattr")?;
    let mut small = [0u8; 10];
    // SAFETY: the buffer is as long as is said.
    let length = unsafe {
        libc::lgetxattr(
            path(&file).as_ptr(),
            c"user.a".as_ptr(),
            small.as_mut_ptr().cast(),
            10,
        )
    };
    refused(checked(length as i64), libc::ERANGE)?;
    // SAFETY: nothing is written where the length is zero.
    let asked = unsafe {
        libc::lgetxattr(
            path(&file).as_ptr(),
            c"user.a".as_ptr(),
            std::ptr::null_mut(),
            0,
        )
    };
    same(asked, 100)
}

fn empty(place: &Path) -> Outcome {
    let file = file(place).told("write")?;
    set_xattr(&file, "user.empty", b"").told("setxattr")?;
    same(get_xattr(&file, "user.empty").told("getxattr")?, vec![])?;
    same(
        names(&file).told("listxattr")?,
        vec!["user.empty".to_string()],
    )
}

fn directory(place: &Path) -> Outcome {
    set_xattr(place, "user.d", b"1").told("setxattr")?;
    same(get_xattr(place, "user.d").told("getxattr")?, b"1".to_vec())
}

fn link(place: &Path) -> Outcome {
    std::os::unix::fs::symlink("file", place.join("link")).told("symlink")?;
    refused(set_xattr(&place.join("link"), "user.a", b"1"), libc::EPERM)
}

fn trusted(place: &Path) -> Outcome {
    let file = file(place).told("write")?;
    set_xattr(&file, "trusted.a", b"1").told("setxattr")
}

fn access_list(place: &Path) -> Outcome {
    let file = file(place).told("write")?;
    // Version 2; the owner rw, user 1234 r, the group r, the mask r, others nothing.
    let entries = [
        (1u16, 6u16, u32::MAX),
        (2, 4, 1234),
        (4, 4, u32::MAX),
        (16, 4, u32::MAX),
        (32, 0, u32::MAX),
    ];
    let mut list = 2u32.to_le_bytes().to_vec();
    for (tag, may, who) in entries {
        list.extend(
            tag.to_le_bytes()
                .into_iter()
                .chain(may.to_le_bytes())
                .chain(who.to_le_bytes()),
        );
    }
    set_xattr(&file, "system.posix_acl_access", &list).told("setxattr")
}
