//! What the agent knows: one value, shared by every handler on the one thread.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tokio::sync::watch;

use crate::clock;
use crate::logring::{DEFAULT_CAPACITY, LogRing};
use crate::machine::boot::Held;
use crate::machine::dns::Placed;
use crate::process::reaper::Reaper;
use crate::proto::{BootTimings, EndAction, ExitStatus, GuestRequest, Mode, Phase, StateResponse};
use crate::workload::kept::KeptExecs;
use crate::workload::program::Program;

/// How much of the guest is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// PID 1: until Boot, and in app mode.
    Init,
    /// A process beside the image's own init (system mode).
    BesideInit,
    /// An ordinary process on a host (tests): nothing of the machine is ours.
    #[cfg_attr(not(feature = "host-test"), allow(dead_code))]
    Host,
}

pub struct Agent {
    role: Cell<Role>,
    pub phase: Cell<Phase>,
    pub mode: Cell<Mode>,
    pub log: LogRing,
    pub reaper: Reaper,
    pub kept: KeptExecs,
    pub program: RefCell<Option<Rc<Program>>>,
    exit: watch::Sender<Option<ExitStatus>>,
    pub timings: Timings,
    pub end_action: Cell<EndAction>,
    /// What the guest itself asked for.
    pub request: Cell<GuestRequest>,
    /// The signal and the patience (ms) of an end that the guest asks for.
    pub own_stop: Cell<(i32, u32)>,
    pub placed: RefCell<Placed>,
    /// A boot that waits for the host's word.
    pub held: RefCell<Option<Held>>,
    sessions: Rc<Cell<usize>>,
    /// Calls of the kinds that come in any number.
    pub dials: Crowd,
    pub execs: Crowd,
}

/// Calls of one kind that are open now, up to a bound. The host keeps below it: this is for one that does not.
#[derive(Default)]
pub struct Crowd(Rc<Cell<usize>>);

/// One of them, for as long as this lives.
pub struct Place(Rc<Cell<usize>>);

impl Crowd {
    pub fn enter(&self, most: usize) -> Option<Place> {
        if self.0.get() >= most {
            return None;
        }
        self.0.set(self.0.get() + 1);
        Some(Place(self.0.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// A session for as long as this lives.
pub struct OpenSession(Rc<Cell<usize>>);

impl Drop for OpenSession {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Agent {
    pub fn new(role: Role) -> Rc<Self> {
        Rc::new(Self {
            role: Cell::new(role),
            phase: Cell::new(Phase::Waiting),
            mode: Cell::new(Mode::Unspecified),
            log: LogRing::new(DEFAULT_CAPACITY),
            reaper: Reaper::default(),
            kept: KeptExecs::default(),
            program: RefCell::default(),
            exit: watch::Sender::new(None),
            timings: Timings::default(),
            end_action: Cell::new(EndAction::Unspecified),
            request: Cell::new(GuestRequest::Unspecified),
            own_stop: Cell::new((libc::SIGTERM, 10_000)),
            placed: RefCell::default(),
            held: RefCell::default(),
            sessions: Rc::default(),
            dials: Crowd::default(),
            execs: Crowd::default(),
        })
    }

    pub fn open_session(&self) -> OpenSession {
        self.sessions.set(self.sessions.get() + 1);
        OpenSession(self.sessions.clone())
    }

    /// True while a host is there.
    pub fn has_session(&self) -> bool {
        self.sessions.get() > 0
    }

    pub fn role(&self) -> Role {
        self.role.get()
    }

    pub fn set_role(&self, role: Role) {
        self.role.set(role);
    }

    /// Publishes how it ended, once; what comes later changes nothing.
    pub fn publish_exit(&self, mut status: ExitStatus) {
        if self.exit.borrow().is_some() {
            return;
        }
        if status.request == GuestRequest::Unspecified as i32 {
            status.request = self.request.get() as i32;
        }
        status.finished_unix_ns = clock::realtime_ns();
        self.phase.set(Phase::Exited);
        self.exit.send_replace(Some(status));
    }

    pub fn exit(&self) -> Option<ExitStatus> {
        self.exit.borrow().clone()
    }

    /// Waits for the end of the program.
    pub async fn exited(&self) -> ExitStatus {
        let mut watcher = self.exit.subscribe();
        loop {
            if let Some(status) = watcher.borrow_and_update().clone() {
                return status;
            }
            // The sender lives as long as the agent.
            let _ = watcher.changed().await;
        }
    }

    pub fn program(&self) -> Option<Rc<Program>> {
        self.program.borrow().clone()
    }

    pub fn state(&self) -> StateResponse {
        StateResponse {
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: 1,
            boot_id: std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
                .map(|text| text.trim().to_owned())
                .unwrap_or_default(),
            kernel_release: rustix::system::uname().release().to_string_lossy().into_owned(),
            phase: self.phase.get() as i32,
            mode: self.mode.get() as i32,
            first_sequence: self.log.first(),
            next_sequence: self.log.next(),
            exit: self.exit(),
            uptime_us: clock::boottime_us(),
            clock_unix_ns: clock::realtime_ns(),
        }
    }
}

/// When each step of the boot was done.
#[derive(Default)]
pub struct Timings(Cell<BootTimings>);

impl Timings {
    fn set(&self, change: impl FnOnce(&mut BootTimings)) {
        let mut timings = self.0.get();
        change(&mut timings);
        self.0.set(timings);
    }

    pub fn mark_init(&self, at_us: u64) {
        self.set(|timings| timings.init_us = at_us);
    }

    pub fn mark_modules(&self) {
        self.set(|timings| timings.modules_us = clock::boottime_us());
    }

    /// The first hello counts.
    pub fn mark_hello(&self) {
        self.set(|timings| {
            if timings.hello_us == 0 {
                timings.hello_us = clock::boottime_us();
            }
        });
    }

    pub fn mark_root(&self) {
        self.set(|timings| timings.root_us = clock::boottime_us());
    }

    pub fn mark_started(&self) {
        self.set(|timings| timings.started_us = clock::boottime_us());
    }

    pub fn get(&self) -> BootTimings {
        self.0.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lets_no_more_in_than_there_is_room_for() {
        let crowd = Crowd::default();
        let first = crowd.enter(2);
        let second = crowd.enter(2);
        assert!(first.is_some() && second.is_some());
        assert!(crowd.enter(2).is_none());
        drop(first);
        assert!(crowd.enter(2).is_some());
    }
}
