//! What every call that takes a name says of one that can't be: pjdfstest asks each call by itself.

use std::fs;
use std::io::Result;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::calls::{CALLS, Call, Last, top};
use crate::{Case, Outcome, Told};

pub const CASES: &[Case] = &[
    ("every call refuses a name that is too long", too_long),
    ("every call refuses a path that is too long", path_too_long),
    ("every call refuses a file as a directory", through_file),
    (
        "every call refuses a directory that is missing",
        through_nothing,
    ),
    (
        "every call refuses links that lead to themselves",
        through_loop,
    ),
    ("what wants a file that is there says so", missing),
    ("what wants a free name says so, whatever is there", taken),
];

/// Each call on that name; all that said something else.
fn each(name: &Path, wanted: &[i32], calls: impl Fn(&Call) -> bool) -> Outcome {
    let odd: Vec<String> = CALLS
        .iter()
        .filter(|call| calls(call))
        .filter_map(|call| deviation(call.name, (call.call)(name), wanted))
        .collect();
    if odd.is_empty() {
        Ok(())
    } else {
        Err(odd.join("; "))
    }
}

pub fn deviation(what: &str, outcome: Result<()>, wanted: &[i32]) -> Option<String> {
    match outcome {
        Ok(()) => (!wanted.is_empty()).then(|| format!("{what} went well")),
        Err(error)
            if error
                .raw_os_error()
                .is_some_and(|errno| wanted.contains(&errno)) =>
        {
            None
        }
        Err(error) => Some(format!("{what}: {error}")),
    }
}

fn too_long(place: &Path) -> Outcome {
    let name = top(place).told("top")?.join("n".repeat(256));
    each(&name, &[libc::ENAMETOOLONG], |_| true)?;
    each(&name.join("below"), &[libc::ENAMETOOLONG], |_| true)
}

fn path_too_long(place: &Path) -> Outcome {
    let mut name = top(place).told("top")?;
    while name.as_os_str().len() < 4096 {
        name.push(".");
        name = Path::new(&format!("{}/./.", name.display())).to_path_buf();
    }
    each(&name, &[libc::ENAMETOOLONG], |_| true)
}

fn through_file(place: &Path) -> Outcome {
    let top = top(place).told("top")?;
    fs::write(top.join("file"), "x").told("write")?;
    each(&top.join("file/below"), &[libc::ENOTDIR], |_| true)
}

fn through_nothing(place: &Path) -> Outcome {
    let top = top(place).told("top")?;
    each(&top.join("missing/below"), &[libc::ENOENT], |_| true)
}

fn through_loop(place: &Path) -> Outcome {
    let top = top(place).told("top")?;
    symlink("two", top.join("one")).told("symlink")?;
    symlink("one", top.join("two")).told("symlink")?;
    each(&top.join("one/below"), &[libc::ELOOP], |_| true)
}

fn missing(place: &Path) -> Outcome {
    let name = top(place).told("top")?.join("missing");
    each(&name, &[libc::ENOENT], |call| call.last != Last::Made)
}

fn taken(place: &Path) -> Outcome {
    let top = top(place).told("top")?;
    fs::write(top.join("file"), "x").told("write")?;
    fs::create_dir_all(top.join("directory/full")).told("mkdir")?;
    symlink("nowhere", top.join("dangling")).told("symlink")?;
    crate::sys::make_node(&top.join("fifo"), libc::S_IFIFO).told("mkfifo")?;
    for name in ["file", "directory", "dangling", "fifo"] {
        let replaces = |call: &Call| call.name == "rename onto";
        each(&top.join(name), &[libc::EEXIST], |call| {
            call.last == Last::Made && !replaces(call)
        })
        .map_err(|odd| format!("{name}: {odd}"))?;
    }
    each(&top.join("directory"), &[libc::EISDIR], |call| {
        call.name == "rename onto"
    })
}

/// Of what nothing can be written to. `top`: a directory of that name with the files `beside` and `file` and the empty
/// directory `directory`.
pub fn read_only(top: &Path) -> Outcome {
    let refuses = |name: &str, calls: &dyn Fn(&Call) -> bool| {
        each(&top.join(name), &[libc::EROFS], calls).map_err(|odd| format!("{name}: {odd}"))
    };
    refuses("file", &|call| call.last == Last::Changed)?;
    refuses("file", &|call| {
        call.last == Last::Removed && call.name != "rmdir"
    })?;
    refuses("directory", &|call| {
        call.name == "rmdir" || call.name == "chmod"
    })?;
    refuses("new", &|call| call.last == Last::Made)?;
    each(&top.join("file"), &[], |call| call.last == Last::Read)
}
