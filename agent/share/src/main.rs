//! `kiln-share`: serves one directory of the host to one VM, live, as 9P2000.L over a byte stream of the VMM's. It confines
//! itself to that directory before it reads the first byte (docs/design/0022-kiln-share.md).

mod arguments;
mod confine;
mod connection;
mod failpoint;
mod fids;
mod greeting;
mod inside;
mod jobs;
mod ledger;
mod lock_table;
mod map;
mod names;
mod node;
mod peer;
mod serve;
mod start;
mod state;
mod stream;
mod waiter;
mod watches;
mod wire;

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::process::ExitCode;
use std::sync::Arc;

use rustix::io::DupFlags;

use crate::arguments::{Arguments, Question};
use crate::confine::{Refused, confine, own_root};
use crate::jobs::Jobs;
use crate::ledger::Ledger;
use crate::map::Owners;
use crate::node::Node;
use crate::peer::Peer;
use crate::state::{Share, State};
use crate::watches::Watches;

/// EX_CONFIG: it would be the same again.
const CONFIGURATION: u8 = 78;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    if let Some(question) = arguments::parse_question(&words) {
        return match question.and_then(can_own_root) {
            Ok(()) => ExitCode::SUCCESS,
            Err(words) => end(CONFIGURATION, &words),
        };
    }
    let arguments = match arguments::parse(words.into_iter()) {
        Ok(arguments) => arguments,
        Err(words) => return end(CONFIGURATION, &words),
    };
    if arguments.await_start && !start::awaited(std::io::stdin()) {
        return ExitCode::SUCCESS;
    }
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Ended::Configuration(words)) => end(CONFIGURATION, &words),
        Err(Ended::Failed(words)) => end(1, &words),
    }
}

enum Ended {
    Configuration(String),
    Failed(String),
}

fn run(arguments: &Arguments) -> Result<(), Ended> {
    let given = |what: &str, error: io::Error| Ended::Configuration(format!("{what}: {error}"));
    let mut root = adopt(arguments.root).map_err(|error| given("--root-fd", error))?;
    if let Some((uid, gid)) = arguments.user.filter(|_| rustix::process::geteuid().is_root()) {
        if arguments.own_root {
            let shown =
                own_root::show(&root, (uid, gid)).map_err(|Refused(words)| Ended::Configuration(words))?;
            // By the number that it was given by: all others are closed.
            rustix::io::dup3(&shown, &mut root, DupFlags::CLOEXEC)
                .map_err(|errno| given("--own-root", errno.into()))?;
        }
        start::become_user(uid, gid).map_err(|error| given("--as", error))?;
    }
    // Mapped, and its descriptor closed.
    let ledger = adopt(arguments.ledger)
        .and_then(|fd| Ok(Ledger::open(&fd)?))
        .map_err(|error| given("--ledger-fd", error))?;
    let peer = Peer::new(&arguments.way, adopt).map_err(|error| given("its socket", error))?;
    let confined = confine(root, arguments).map_err(|Refused(words)| Ended::Configuration(words))?;

    let failed = |error: io::Error| Ended::Failed(error.to_string());
    let root = Node::new(confined.root).map_err(|errno| failed(errno.into()))?;
    let (uid, gid) = (
        rustix::process::getuid().as_raw(),
        rustix::process::getgid().as_raw(),
    );
    let share = Share {
        root: Arc::new(root),
        owners: Owners::new(arguments.map, uid, gid),
        read_only: arguments.read_only,
        only: arguments.only.clone(),
        jailed: confined.jailed,
    };
    let jobs = Jobs::new().map_err(|errno| failed(errno.into()))?;
    let watches = arguments
        .notify
        .then(Watches::new)
        .transpose()
        .map_err(|errno| failed(errno.into()))?;
    let mut state = State::new(share, confined.fids, ledger, jobs, watches);
    peer.serve_all(&mut state).map_err(failed)
}

fn can_own_root(Question { root, user }: Question) -> Result<(), String> {
    let root = adopt(root).map_err(|error| error.to_string())?;
    own_root::can_show(&root, user).map_err(|Refused(words)| words)
}

/// A descriptor that kilnd handed over.
fn adopt(fd: i32) -> io::Result<OwnedFd> {
    // SAFETY: only asks about the number.
    if unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and nothing else in this process knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn end(code: u8, words: &str) -> ExitCode {
    eprintln!("kiln-share: {words}");
    ExitCode::from(code)
}
