//! The one place that waits for children: PID 1 gets every orphan, so nothing else may call wait.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use rustix::io::Errno;
use rustix::process::{WaitOptions, WaitStatus, wait};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// How a process ended, as shells count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Exit code, or 128 + signal.
    pub code: i32,
    /// 0 where it ended by itself.
    pub signal: i32,
    /// It was killed because the machine ends.
    pub with_machine: bool,
}

impl Ended {
    /// Of one of which nothing is known.
    pub const UNKNOWN: Self = Self {
        code: 255,
        signal: 0,
        with_machine: false,
    };

    fn from_status(status: WaitStatus, machine_ends: bool) -> Option<Self> {
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Some(Self {
                code,
                signal: 0,
                with_machine: false,
            }),
            (None, Some(signal)) => Some(Self {
                code: 128 + signal,
                signal,
                with_machine: machine_ends && signal == libc::SIGKILL,
            }),
            _ => None,
        }
    }
}

#[derive(Default)]
pub struct Reaper {
    waiting: RefCell<HashMap<i32, oneshot::Sender<Ended>>>,
    machine_ends: Cell<bool>,
}

impl Reaper {
    /// To be called right after the fork, before anything can reap.
    pub fn expect(&self, pid: i32) -> oneshot::Receiver<Ended> {
        let (sender, receiver) = oneshot::channel();
        self.waiting.borrow_mut().insert(pid, sender);
        receiver
    }

    /// The main program has ended: what is killed from now on is killed for that.
    pub fn machine_ends(&self) {
        self.machine_ends.set(true);
    }

    /// Reaps whatever has ended, ours and orphans. False once no child is left.
    pub fn reap(&self) -> bool {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => self.tell(pid.as_raw_nonzero().get(), status),
                Ok(None) => return true,
                Err(Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }

    fn tell(&self, pid: i32, status: WaitStatus) {
        let Some(ended) = Ended::from_status(status, self.machine_ends.get()) else {
            return;
        };
        if let Some(waiting) = self.waiting.borrow_mut().remove(&pid) {
            // The one who asked may have gone.
            let _ = waiting.send(ended);
        }
    }

    /// Reaps for ever.
    ///
    /// @param reaped called whenever children may have been reaped
    pub async fn run(&self, reaped: impl Fn()) -> std::io::Result<()> {
        let mut children = signal(SignalKind::child())?;
        loop {
            // Before the first wait too: a child may have ended before the handler was there.
            self.reap();
            reaped();
            if children.recv().await.is_none() {
                return Ok(());
            }
        }
    }
}
