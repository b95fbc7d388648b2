//! What may take which name's place, how names are opened, and what is made with which mode.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, symlink};
use std::path::Path;

use crate::refusals::deviation;
use crate::sys::{checked, make_node};
use crate::{Case, Outcome, Told, refused, same};

pub const CASES: &[Case] = &[
    (
        "rename puts each kind in the place of each that may be",
        renames,
    ),
    (
        "rename of one name of a file onto another does nothing",
        rename_same,
    ),
    ("rename refuses a directory below itself", rename_below),
    ("a directory that moves has its new parent", new_parent),
    (
        "what is made has the mode that is asked, but for the umask",
        made_modes,
    ),
    (
        "what is made in a set-group-id directory is of its group",
        group_of_directory,
    ),
    ("a link to a link is one to the link itself", link_of_link),
    ("a link refuses a directory", link_of_directory),
    (
        "a symbolic link has as many bytes as its words",
        link_length,
    ),
    ("open follows links, and O_NOFOLLOW none", no_follow),
    (
        "O_DIRECTORY opens directories alone, and no directory is written",
        directories_opened,
    ),
    (
        "a pipe without a reader and a socket are not opened",
        not_opened,
    ),
    ("rmdir refuses what is no empty directory", rmdir_refused),
    (
        "a directory that is gone takes nothing more",
        removed_directory,
    ),
    ("the kinds of names are listed", kinds_listed),
];

const KINDS: [&str; 6] = ["file", "empty", "full", "link", "fifo", "socket"];

fn make(name: &Path, kind: &str) -> Outcome {
    match kind {
        "file" => fs::write(name, "x"),
        "empty" => fs::create_dir(name),
        "full" => fs::create_dir_all(name.join("inside")),
        "link" => symlink("nowhere", name),
        "fifo" => make_node(name, libc::S_IFIFO),
        _ => make_node(name, libc::S_IFSOCK),
    }
    .told(kind)
}

fn renames(place: &Path) -> Outcome {
    let mut odd = Vec::new();
    for (row, from) in KINDS.iter().enumerate() {
        for (column, to) in KINDS.iter().enumerate() {
            let (a, b) = (
                place.join(format!("a{row}{column}")),
                place.join(format!("b{row}{column}")),
            );
            make(&a, from)?;
            make(&b, to)?;
            let is_directory = |kind: &str| kind == "empty" || kind == "full";
            let wanted: &[i32] = match (is_directory(from), is_directory(to)) {
                (true, false) => &[libc::ENOTDIR],
                (false, true) => &[libc::EISDIR],
                (true, true) if *to == "full" => &[libc::ENOTEMPTY, libc::EEXIST],
                _ => &[],
            };
            odd.extend(deviation(
                &format!("{from} onto {to}"),
                fs::rename(&a, &b),
                wanted,
            ));
        }
    }
    if odd.is_empty() {
        Ok(())
    } else {
        Err(odd.join("; "))
    }
}

fn rename_same(place: &Path) -> Outcome {
    fs::write(place.join("a"), "x").told("write")?;
    fs::hard_link(place.join("a"), place.join("b")).told("link")?;
    fs::rename(place.join("a"), place.join("b")).told("rename")?;
    fs::rename(place.join("a"), place.join("a")).told("rename")?;
    same(fs::metadata(place.join("a")).told("stat")?.nlink(), 2)
}

fn rename_below(place: &Path) -> Outcome {
    fs::create_dir_all(place.join("d/e")).told("mkdir")?;
    refused(
        fs::rename(place.join("d"), place.join("d/e/f")),
        libc::EINVAL,
    )?;
    refused(
        fs::rename(place.join("d/e"), place.join("d")),
        libc::ENOTEMPTY,
    )?;
    same(
        fs::rename(place.join("d/."), place.join("x")).is_err(),
        true,
    )?;
    same(fs::metadata(place.join("d/e")).told("stat")?.is_dir(), true)
}

fn new_parent(place: &Path) -> Outcome {
    fs::create_dir_all(place.join("one/moved/below")).told("mkdir")?;
    fs::create_dir_all(place.join("two")).told("mkdir")?;
    let links = |name| {
        fs::metadata(place.join(name))
            .map(|meta| meta.nlink())
            .told("stat")
    };
    let before = (links("one")?, links("two")?);
    fs::rename(place.join("one/moved"), place.join("two/moved")).told("rename")?;
    let inode = |name| {
        fs::metadata(place.join(name))
            .map(|meta| meta.ino())
            .told("stat")
    };
    same(inode("two/moved/..")?, inode("two")?)?;
    same(inode("two/moved/below/../..")?, inode("two")?)?;
    let counted = before.0 > 1;
    let wanted = if counted {
        (before.0 - 1, before.1 + 1)
    } else {
        before
    };
    same((links("one")?, links("two")?), wanted)
}

fn made_modes(place: &Path) -> Outcome {
    // SAFETY: no memory is passed.
    let umask = |mask| unsafe { libc::umask(mask) };
    for mask in [0o022, 0o077, 0o000] {
        let before = umask(mask);
        let name = |what: &str| place.join(format!("{what}{mask:o}"));
        let made = DirBuilder::new()
            .mode(0o777)
            .create(name("d"))
            .and_then(|()| {
                OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o666)
                    .open(name("f"))
            })
            .and_then(|_| make_node(&name("p"), libc::S_IFIFO));
        umask(before);
        made.told("make")?;
        let mode = |what| {
            fs::metadata(name(what))
                .map(|meta| meta.mode() & 0o7777)
                .told("stat")
        };
        same(
            (mode("d")?, mode("f")?, mode("p")?),
            (0o777 & !mask, 0o666 & !mask, 0o600 & !mask),
        )?;
    }
    let again = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o640)
        .open(place.join("f0"));
    again.told("open")?;
    same(
        fs::metadata(place.join("f0")).told("stat")?.mode() & 0o7777,
        0o666,
    )
}

fn group_of_directory(place: &Path) -> Outcome {
    let top = place.join("top");
    fs::create_dir(&top).told("mkdir")?;
    fs::set_permissions(&top, std::os::unix::fs::PermissionsExt::from_mode(0o2775))
        .told("chmod")?;
    let group = fs::metadata(&top).told("stat")?.gid();
    fs::create_dir(top.join("d")).told("mkdir")?;
    fs::write(top.join("f"), "x").told("write")?;
    let (d, f) = (
        fs::metadata(top.join("d")).told("stat")?,
        fs::metadata(top.join("f")).told("stat")?,
    );
    same(
        (d.gid(), f.gid(), d.mode() & 0o2000),
        (group, group, 0o2000),
    )
}

fn link_of_link(place: &Path) -> Outcome {
    fs::write(place.join("file"), "x").told("write")?;
    symlink("file", place.join("link")).told("symlink")?;
    fs::hard_link(place.join("link"), place.join("other")).told("link")?;
    let meta = fs::symlink_metadata(place.join("other")).told("lstat")?;
    same((meta.file_type().is_symlink(), meta.nlink()), (true, 2))
}

fn link_of_directory(place: &Path) -> Outcome {
    fs::create_dir(place.join("d")).told("mkdir")?;
    refused(fs::hard_link(place.join("d"), place.join("e")), libc::EPERM)
}

fn link_length(place: &Path) -> Outcome {
    for length in [1, 100, 4095] {
        let (name, words) = (place.join(format!("l{length}")), "x".repeat(length));
        symlink(&words, &name).told("symlink")?;
        same(
            fs::symlink_metadata(&name).told("lstat")?.len(),
            length as u64,
        )?;
        same(
            fs::read_link(&name).told("readlink")?.as_os_str().len(),
            length,
        )?;
    }
    refused(
        symlink("x".repeat(4096), place.join("longer")),
        libc::ENAMETOOLONG,
    )?;
    refused(symlink("", place.join("empty")), libc::ENOENT)
}

fn no_follow(place: &Path) -> Outcome {
    symlink("made", place.join("link")).told("symlink")?;
    let open = |flags| {
        OpenOptions::new()
            .write(true)
            .custom_flags(flags)
            .open(place.join("link"))
    };
    refused(open(libc::O_CREAT | libc::O_EXCL), libc::EEXIST)?;
    refused(open(libc::O_NOFOLLOW), libc::ELOOP)?;
    fs::write(place.join("link"), "through").told("write through it")?;
    same(
        fs::read_to_string(place.join("made"))
            .told("read")?
            .as_str(),
        "through",
    )?;
    refused(open(libc::O_NOFOLLOW), libc::ELOOP)
}

fn directories_opened(place: &Path) -> Outcome {
    fs::write(place.join("file"), "x").told("write")?;
    let open = |write: bool, flags, name| {
        OpenOptions::new()
            .read(!write)
            .write(write)
            .custom_flags(flags)
            .open(place.join(name))
    };
    open(false, libc::O_DIRECTORY, ".").told("a directory")?;
    refused(open(false, libc::O_DIRECTORY, "file"), libc::ENOTDIR)?;
    refused(open(true, 0, "."), libc::EISDIR)?;
    refused(open(false, 0, "file/"), libc::ENOTDIR)?;
    refused(fs::read(place), libc::EISDIR)
}

fn not_opened(place: &Path) -> Outcome {
    make_node(&place.join("fifo"), libc::S_IFIFO).told("mkfifo")?;
    make_node(&place.join("socket"), libc::S_IFSOCK).told("mknod")?;
    let mut options = OpenOptions::new();
    let options = options.write(true).custom_flags(libc::O_NONBLOCK);
    refused(options.open(place.join("fifo")), libc::ENXIO)?;
    refused(File::open(place.join("socket")), libc::ENXIO)
}

fn rmdir_refused(place: &Path) -> Outcome {
    for kind in ["file", "link", "fifo"] {
        make(&place.join(kind), kind)?;
        refused(fs::remove_dir(place.join(kind)), libc::ENOTDIR)?;
    }
    fs::create_dir_all(place.join("d/e")).told("mkdir")?;
    refused(fs::remove_dir(place.join("d/e/.")), libc::EINVAL)?;
    refused(fs::remove_dir(place.join("d/e/..")), libc::ENOTEMPTY)?;
    fs::remove_dir(place.join("d/e/")).told("with a slash")
}

fn removed_directory(place: &Path) -> Outcome {
    fs::create_dir(place.join("d")).told("mkdir")?;
    let open = File::open(place.join("d")).told("open")?;
    fs::remove_dir(place.join("d")).told("rmdir")?;
    let fd = std::os::fd::AsRawFd::as_raw_fd(&open);
    // SAFETY: the name ends with a NUL.
    let made = unsafe { libc::mkdirat(fd, c"below".as_ptr(), 0o755) };
    refused(checked(made.into()), libc::ENOENT)
}

fn kinds_listed(place: &Path) -> Outcome {
    for kind in KINDS {
        make(&place.join(kind), kind)?;
    }
    for entry in fs::read_dir(place).told("readdir")? {
        let entry = entry.told("readdir")?;
        // Of the list itself, without another look.
        let kind = entry.file_type().told("d_type")?;
        let is = match entry.file_name().to_str() {
            Some("file") => kind.is_file(),
            Some("empty" | "full") => kind.is_dir(),
            Some("link") => kind.is_symlink(),
            Some("fifo") => kind.is_fifo(),
            _ => kind.is_socket(),
        };
        same((entry.file_name(), is), (entry.file_name(), true))?;
        let meta = fs::symlink_metadata(entry.path()).told("lstat")?;
        same(std::os::unix::fs::DirEntryExt::ino(&entry), meta.ino())?;
    }
    Ok(())
}
