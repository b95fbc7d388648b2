//! Names of files: given, taken, followed.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::sys::{checked, make_node, path};
use crate::{Case, Outcome, Told, refused, same};

pub const CASES: &[Case] = &[
    (
        "rename over an open file leaves it to who has it open",
        rename_over_open,
    ),
    (
        "an unlinked file lives while it is open",
        unlinked_while_open,
    ),
    (
        "rename of a directory moves what is in it",
        rename_directory,
    ),
    (
        "rename refuses a directory that holds something",
        rename_onto_full,
    ),
    ("RENAME_NOREPLACE replaces nothing", rename_no_replace),
    ("RENAME_EXCHANGE exchanges", rename_exchange),
    ("a hard link is the same file", hard_link),
    ("a symbolic link keeps its words", symbolic_link),
    ("names are bytes", odd_names),
    ("a name has 255 bytes and no more", long_names),
    ("rmdir refuses what holds something", remove_full),
    ("a program in it is run", executed),
    ("a script in it is run", script),
    ("a named pipe carries bytes", named_pipe),
    ("a unix socket is bound and connected", unix_socket),
    ("O_TMPFILE makes a file without a name", nameless),
];

fn rename_over_open(place: &Path) -> Outcome {
    fs::write(place.join("a"), "old").told("write")?;
    fs::write(place.join("b"), "new").told("write")?;
    let mut open = File::open(place.join("a")).told("open")?;
    fs::rename(place.join("b"), place.join("a")).told("rename")?;
    let mut text = String::new();
    open.read_to_string(&mut text).told("read")?;
    same(text.as_str(), "old")?;
    same(
        fs::read_to_string(place.join("a")).told("read")?.as_str(),
        "new",
    )
}

fn unlinked_while_open(place: &Path) -> Outcome {
    let open = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(place.join("f"));
    let file = open.told("open")?;
    file.write_all_at(b"here", 0).told("write")?;
    fs::remove_file(place.join("f")).told("unlink")?;
    file.write_all_at(b"still", 4).told("write after it")?;
    let mut read = [0; 9];
    file.read_exact_at(&mut read, 0).told("read after it")?;
    same(&read, b"herestill")?;
    file.set_len(2).told("ftruncate after it")?;
    let meta = file.metadata().told("fstat after it")?;
    same((meta.nlink(), meta.len()), (0, 2))
}

fn rename_directory(place: &Path) -> Outcome {
    fs::create_dir_all(place.join("d/e")).told("mkdir")?;
    fs::write(place.join("d/e/f"), "x").told("write")?;
    let open = File::open(place.join("d/e/f")).told("open")?;
    fs::rename(place.join("d"), place.join("moved")).told("rename")?;
    same(
        fs::read_to_string(place.join("moved/e/f"))
            .told("read")?
            .as_str(),
        "x",
    )?;
    same(open.metadata().told("fstat")?.len(), 1)?;
    refused(fs::metadata(place.join("d")), libc::ENOENT)
}

fn rename_onto_full(place: &Path) -> Outcome {
    fs::create_dir_all(place.join("full/x")).told("mkdir")?;
    fs::create_dir(place.join("d")).told("mkdir")?;
    match fs::rename(place.join("d"), place.join("full")).map_err(|error| error.raw_os_error()) {
        Err(Some(libc::ENOTEMPTY | libc::EEXIST)) => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

fn rename_with(place: &Path, flags: u32) -> std::io::Result<()> {
    let (from, to) = (path(&place.join("a")), path(&place.join("b")));
    let here = libc::AT_FDCWD;
    // SAFETY: both names end with a NUL.
    let outcome = unsafe { libc::renameat2(here, from.as_ptr(), here, to.as_ptr(), flags) };
    checked(outcome.into()).map(|_| ())
}

fn two_files(place: &Path) -> Outcome {
    fs::write(place.join("a"), "A").told("write")?;
    fs::write(place.join("b"), "B").told("write")
}

fn rename_no_replace(place: &Path) -> Outcome {
    two_files(place)?;
    refused(rename_with(place, libc::RENAME_NOREPLACE), libc::EEXIST)
}

fn rename_exchange(place: &Path) -> Outcome {
    two_files(place)?;
    rename_with(place, libc::RENAME_EXCHANGE).told("renameat2")?;
    same(
        fs::read_to_string(place.join("a")).told("read")?.as_str(),
        "B",
    )
}

fn hard_link(place: &Path) -> Outcome {
    fs::write(place.join("a"), "1").told("write")?;
    fs::hard_link(place.join("a"), place.join("b")).told("link")?;
    let stat = |name| fs::metadata(place.join(name)).told("stat");
    same(stat("a")?.ino(), stat("b")?.ino())?;
    same(stat("a")?.nlink(), 2)?;
    fs::write(place.join("b"), "22").told("write")?;
    same(
        fs::read_to_string(place.join("a")).told("read")?.as_str(),
        "22",
    )?;
    fs::remove_file(place.join("a")).told("unlink")?;
    same(stat("b")?.nlink(), 1)
}

fn symbolic_link(place: &Path) -> Outcome {
    fs::write(place.join("to"), "x").told("write")?;
    symlink("./to", place.join("link")).told("symlink")?;
    symlink("/no/such/place", place.join("dangling")).told("symlink")?;
    same(
        fs::read_link(place.join("link"))
            .told("readlink")?
            .as_os_str()
            .as_bytes(),
        b"./to",
    )?;
    same(
        fs::read_to_string(place.join("link"))
            .told("through it")?
            .as_str(),
        "x",
    )?;
    refused(File::open(place.join("dangling")), libc::ENOENT)
}

fn odd_names(place: &Path) -> Outcome {
    let names: [&[u8]; 4] = [
        b"\xff\xfe",
        b" new\nline\t",
        "gr\u{fc}n \u{1f525}".as_bytes(),
        b"-rf *",
    ];
    for name in names {
        let file = place.join(std::ffi::OsStr::from_bytes(name));
        fs::write(&file, name).told("write")?;
        same(fs::read(&file).told("read")?.as_slice(), name)?;
    }
    let mut listed: Vec<Vec<u8>> = fs::read_dir(place)
        .told("readdir")?
        .map(|entry| entry.map(|entry| entry.file_name().as_bytes().to_vec()))
        .collect::<Result<_, _>>()
        .told("readdir")?;
    let mut wanted: Vec<Vec<u8>> = names.iter().map(|name| name.to_vec()).collect();
    listed.sort();
    wanted.sort();
    same(listed, wanted)
}

fn long_names(place: &Path) -> Outcome {
    fs::write(place.join("n".repeat(255)), "x").told("255")?;
    refused(
        fs::write(place.join("n".repeat(256)), "x"),
        libc::ENAMETOOLONG,
    )
}

fn remove_full(place: &Path) -> Outcome {
    fs::create_dir_all(place.join("d/e")).told("mkdir")?;
    refused(fs::remove_dir(place.join("d")), libc::ENOTEMPTY)?;
    refused(fs::remove_file(place.join("d")), libc::EISDIR)
}

fn executed(place: &Path) -> Outcome {
    let copy = place.join("program");
    let own = std::env::current_exe().told("who we are")?;
    fs::copy(own, &copy).told("copy")?;
    let status = Command::new(&copy).arg0("posix").status().told("run")?;
    same(status.code(), Some(42))
}

fn script(place: &Path) -> Outcome {
    let file = place.join("script");
    fs::write(&file, "#!/bin/sh\nexit 7\n").told("write")?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&file, mode).told("chmod")?;
    same(Command::new(&file).status().told("run")?.code(), Some(7))
}

fn named_pipe(place: &Path) -> Outcome {
    let fifo = place.join("fifo");
    make_node(&fifo, libc::S_IFIFO).told("mkfifo")?;
    let mut both = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&fifo)
        .told("open")?;
    both.write_all(b"through").told("write")?;
    let mut read = [0; 7];
    both.read_exact(&mut read).told("read")?;
    same(&read, b"through")
}

fn unix_socket(place: &Path) -> Outcome {
    let name = place.join("s");
    let listener = std::os::unix::net::UnixListener::bind(&name).told("bind")?;
    let mut client = std::os::unix::net::UnixStream::connect(&name).told("connect")?;
    client.write_all(b"hello").told("write")?;
    let mut read = [0; 5];
    listener
        .accept()
        .told("accept")?
        .0
        .read_exact(&mut read)
        .told("read")?;
    same(&read, b"hello")
}

fn nameless(place: &Path) -> Outcome {
    let mut options = OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::custom_flags(options.write(true), libc::O_TMPFILE);
    options.open(place).told("open").map(|_| ())
}
