//! What the agent knows: one value, shared by every handler on the one thread.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use crate::clock;
use crate::grpc::status::{Result, Status};
use crate::logring::{DEFAULT_CAPACITY, LogRing};
use crate::machine::dns::Placed;
use crate::mount::Mounts;
use crate::process::reaper::Reaper;
use crate::proto::{BootTimings, EndAction, ExitStatus, Mode, Phase, ProcessSpec, StateResponse};
use crate::role::Role;
use crate::workload::exit::Exit;
use crate::workload::program::Program;
use crate::workload::slots::Slots;

/// What a boot with `hold` leaves for the start of its program.
pub struct Held {
    pub process: ProcessSpec,
    /// For an init to become ready.
    pub patience: Duration,
    /// The root becomes read-only before the program.
    pub seals_root: bool,
}

/// What the agent of kiln 0.1.0 could not do: a host asks for no more than it finds here. See StateResponse.
const FEATURES: [&str; 8] = [
    "hold",
    "exec-resume",
    "input",
    "workloads",
    "disk-serial",
    "mounts",
    "names",
    "cards",
];

pub struct Agent {
    role: Cell<Role>,
    phase: Cell<Phase>,
    pub mode: Cell<Mode>,
    /// Of the program.
    pub log: Rc<LogRing>,
    pub exit: Rc<Exit>,
    pub reaper: Rc<Reaper>,
    /// Execs with an id.
    pub kept: Rc<Slots>,
    /// Programs beside the main one.
    pub extras: Rc<Slots>,
    pub program: RefCell<Option<Rc<Program>>>,
    pub timings: Timings,
    pub end_action: Cell<EndAction>,
    /// The signal and the patience (ms) of an end that the guest asks for.
    pub own_stop: Cell<(i32, u32)>,
    pub placed: RefCell<Placed>,
    pub mounts: Mounts,
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
            log: Rc::new(LogRing::new(DEFAULT_CAPACITY)),
            exit: Rc::default(),
            reaper: Rc::default(),
            kept: Rc::new(Slots::execs()),
            extras: Rc::new(Slots::extras()),
            program: RefCell::default(),
            timings: Timings::default(),
            end_action: Cell::new(EndAction::Unspecified),
            own_stop: Cell::new((libc::SIGTERM, 10_000)),
            placed: RefCell::default(),
            mounts: Mounts::default(),
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

    /// Where the guest is; once its program has ended, only the end of the machine comes after.
    pub fn phase(&self) -> Phase {
        match self.phase.get() {
            Phase::Ending => Phase::Ending,
            _ if self.exit.get().is_some() => Phase::Exited,
            phase => phase,
        }
    }

    pub fn set_phase(&self, phase: Phase) {
        self.phase.set(phase);
    }

    /// There will be no program, or none any more: says so to whoever waits for its output and its end.
    pub fn end_with(&self, code: i32, error: String) {
        self.log.close();
        self.exit.publish(ExitStatus {
            code,
            error,
            ..Default::default()
        });
    }

    pub fn program(&self) -> Result<Rc<Program>> {
        let program = self.program.borrow().clone();
        program.ok_or_else(|| Status::precondition("no program runs yet"))
    }

    pub fn state(&self) -> StateResponse {
        StateResponse {
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: 1,
            boot_id: std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
                .map(|text| text.trim().to_owned())
                .unwrap_or_default(),
            kernel_release: rustix::system::uname().release().to_string_lossy().into_owned(),
            phase: self.phase() as i32,
            mode: self.mode.get() as i32,
            first_sequence: self.log.first(),
            next_sequence: self.log.next(),
            exit: self.exit.get(),
            uptime_us: clock::boottime_us(),
            clock_unix_ns: clock::realtime_ns(),
            features: FEATURES.map(str::to_owned).to_vec(),
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
    fn one_that_has_ended_is_past_every_phase_but_the_end() {
        let agent = Agent::new(Role::Host);
        agent.set_phase(Phase::Running);
        assert_eq!(agent.phase(), Phase::Running);
        agent.end_with(125, "no disk".to_owned());
        assert_eq!(agent.phase(), Phase::Exited);
        agent.set_phase(Phase::Ending);
        assert_eq!(agent.phase(), Phase::Ending);
    }

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
