//! The bridge's process: one for each share, so that neither the image's init taking the agent's place nor a file of the
//! share that somebody waits for can stop it. It lives as long as the mount.
//!
//! Its first thread never sleeps on anything but its own set of descriptors: the kernel's memory reclaim may wait for it.

use std::ffi::OsString;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::time::Instant;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use super::bridge::Bridge;
use super::connection::Connection;
use super::kernel;
use super::pump::{Over, Pump};
use super::spec::Task;
use super::touch::Toucher;
use super::words::FAILED;
use crate::console;

/// Its argv[0]. systemd leaves a process alone whose name begins with '@' (its rule for storage daemons of an initrd).
pub const NAME: &str = "@kiln-share";

/// Runs it, with the agent at descriptor 0. Does not return.
pub fn run(args: impl Iterator<Item = OsString>) -> ! {
    // SAFETY: the agent has put it there, and nothing else of this process knows of it.
    let agent = unsafe { OwnedFd::from_raw_fd(0) };
    let ended = protect().and_then(|()| {
        let task = Task::from_args(args).ok_or(io::ErrorKind::InvalidInput)?;
        serve(&task, agent)
    });
    if let Err(error) = ended {
        console::error(format_args!("a share's bridge ends: {error}"));
        std::process::exit(1);
    }
    std::process::exit(0);
}

/// From the kernel's killer, from being paged out, and from waiting for its own mount when memory is short.
fn protect() -> io::Result<()> {
    const PR_SET_IO_FLUSHER: i32 = 57;
    rustix::thread::set_name(c"kiln-share")?;
    let _ = std::fs::write("/proc/self/oom_score_adj", "-1000");
    // SAFETY: plain system calls. A kernel that lacks one of them has a share all the same.
    unsafe {
        libc::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
        libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT);
    }
    Ok(())
}

fn serve(task: &Task, agent: OwnedFd) -> io::Result<()> {
    let now = Instant::now();
    let signals = take_signals()?;
    let (pipes, ends) = kernel::pipes()?;
    let (outcome, tell) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    let mut bridge = Bridge::new(task.spec.patience, now);
    let mut toucher = None;
    if task.spec.notify {
        bridge.notices.want();
        toucher = Some(Toucher::start(task.spec.way.to_string())?);
    }
    let connection = Connection::new(task.spec.way.clone(), now);
    let mut pump = Pump::new(bridge, connection, pipes, [agent, signals, outcome], toucher)?;
    let mounting = task.clone();
    // On a thread: the call waits for what this one does.
    std::thread::Builder::new().spawn(move || {
        let task = mounting;
        let result = kernel::mount(&ends, &task);
        let errno = result.err().map_or(0, Errno::raw_os_error);
        let _ = rustix::io::write(&tell, &errno.to_ne_bytes());
        // The mount has its own hold on the pipes. Told before: pipes that close first say only that it is gone, not why.
        drop(ends);
    })?;
    match pump.run(now + task.within)? {
        Over::Unmounted => Ok(()),
        Over::NotMounted(text) => {
            pump.tell_agent(&[&[FAILED], text.as_bytes()].concat());
            Ok(())
        }
    }
}

/// What asks for the end of every process does not end this one: the mount does.
fn take_signals() -> io::Result<OwnedFd> {
    // SAFETY: plain system calls on a set that they fill; the descriptor is checked before it is owned. There is one
    // thread yet, and those that come have its mask.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        for signal in [
            libc::SIGTERM,
            libc::SIGINT,
            libc::SIGHUP,
            libc::SIGQUIT,
            libc::SIGPIPE,
        ] {
            libc::sigaddset(&mut set, signal);
        }
        if libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        let raw = libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(raw))
    }
}
