//! Confinement before the first byte is read: a server that the guest has taken over finds one directory, no network, no
//! privileges and few system calls. Each line holds by itself; where namespaces or Landlock cannot be had, the other has
//! to be there.

mod capabilities;
mod landlock;
mod limits;
mod mount_attributes;
mod namespaces;
pub mod own_root;
mod refused;
mod seccomp;
mod users;

use std::os::fd::OwnedFd;

use rustix::fs::{FileType, Mode};
use rustix::io::Errno;

pub use refused::Refused;

use crate::arguments::{Arguments, Way};
use crate::map::Map;
use crate::node;

pub struct Confined {
    /// O_PATH of the share, from inside.
    pub root: OwnedFd,
    /// It is all that there is.
    pub jailed: bool,
    /// How many the guest may have.
    pub fids: usize,
}

/// @param root O_PATH of the share
pub fn confine(root: OwnedFd, arguments: &Arguments) -> Result<Confined, Refused> {
    let kind = rustix::fs::fstat(&root).map(|stat| FileType::from_raw_mode(stat.st_mode));
    if kind != Ok(FileType::Directory) {
        return Err(Refused("--root-fd is no directory".into()));
    }
    rustix::process::umask(Mode::empty());
    let kept = [arguments.root, peer_of(arguments)];
    let fids = limits::set(&kept).map_err(because("limits cannot be set"))?;
    let entered = users::enter(arguments.map)?;
    let jail = match entered {
        true => namespaces::jail(&root, arguments.read_only).map_err(because("no jail")),
        false => Err(Refused("no user namespace".into())),
    };
    let (root, descriptors, unjailed) = match jail {
        Ok(jail) => (jail.root, jail.descriptors, None),
        Err(refused) => (
            root,
            namespaces::plain_descriptors().map_err(because("no /proc"))?,
            Some(refused),
        ),
    };
    rustix::thread::set_no_new_privs(true).map_err(because("new privileges cannot be given up"))?;
    let rights = landlock::Rights {
        read_only: arguments.read_only,
        one_file: arguments.only.is_some(),
    };
    let landlocked = landlock::restrict(&root, rights);
    if let (Some(Refused(words)), Err(errno)) = (&unjailed, landlocked) {
        let landlock = format!("and no Landlock of at least version 2 ({errno})");
        return Err(Refused(format!("nothing would confine it: {words}, {landlock}")));
    }
    capabilities::keep(matches!(arguments.map, Map::Range { .. })).map_err(because("capabilities stay"))?;
    // Before the filter, which knows neither.
    rustix::process::fchdir(&descriptors).map_err(because("no /proc/self/fd"))?;
    node::descriptors_are_working_directory();
    limits::end_quietly();
    seccomp::load(&arguments.way, arguments.notify, arguments.own_root)
        .map_err(because("no filter of system calls"))?;
    Ok(Confined {
        root,
        jailed: unjailed.is_none(),
        fids,
    })
}

fn peer_of(arguments: &Arguments) -> i32 {
    match arguments.way {
        Way::Connect(fd) | Way::Listen(fd) => fd,
    }
}

fn because(what: &str) -> impl FnOnce(Errno) -> Refused {
    move |errno| Refused(format!("{what}: {errno}"))
}
