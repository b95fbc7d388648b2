//! Moves bytes between the kernel, the bridge and the server, and sleeps when none move.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::io::Errno;

use super::bridge::Bridge;
use super::connection::{Connection, Read};
use super::idle::Idle;
use super::kernel::{Pipes, failure};
use super::ready::{AGENT, ANSWERS, IDLE, OUTCOME, REQUESTS, Ready, SERVER, SIGNALS, TOUCHER};
use super::touch::Toucher;
use super::words::{AWAY, BACK, END, GRACE, MOUNTED};

/// What one read takes at most.
const CHUNK: usize = 64 << 10;
/// What a port of stock kernels gives at once; that of kiln's gives all that is there.
const PAGE: usize = 4096;
/// Reads of one side before the other is looked after.
const IN_A_ROW: usize = 64;
/// A mount that was given up returns at once.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Why it ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Over {
    Unmounted,
    NotMounted(String),
}

#[derive(PartialEq, Eq)]
enum Stage {
    Mounting,
    Mounted,
    /// The mount was given up; its thread has yet to say so.
    GivenUp(String),
}

pub struct Pump {
    bridge: Bridge,
    connection: Connection,
    is_connected: bool,
    pipes: Option<Pipes>,
    agent: Option<OwnedFd>,
    signals: OwnedFd,
    outcome: OwnedFd,
    toucher: Option<Toucher>,
    idle: Idle,
    ready: Ready,
    stage: Stage,
    told_away: bool,
    scratch: Vec<u8>,
}

impl Pump {
    /// @param others the agent's socket, a signalfd, and where the mount's errno comes from
    pub fn new(
        bridge: Bridge,
        connection: Connection,
        pipes: Pipes,
        others: [OwnedFd; 3],
        toucher: Option<Toucher>,
    ) -> io::Result<Self> {
        let ready = Ready::new()?;
        let [agent, signals, outcome] = others;
        rustix::io::ioctl_fionbio(&agent, true)?;
        for (fd, source) in [
            (&pipes.requests, REQUESTS),
            (&pipes.answers, ANSWERS),
            (&agent, AGENT),
            (&signals, SIGNALS),
            (&outcome, OUTCOME),
        ] {
            ready.add(fd, source)?;
        }
        let idle = Idle::new()?;
        ready.add(&idle.fd, IDLE)?;
        if let Some(toucher) = &toucher {
            ready.add(&toucher.fd, TOUCHER)?;
        }
        Ok(Self {
            bridge,
            connection,
            is_connected: false,
            pipes: Some(pipes),
            agent: Some(agent),
            signals,
            outcome,
            toucher,
            idle,
            ready,
            stage: Stage::Mounting,
            told_away: false,
            scratch: vec![0; CHUNK],
        })
    }

    /// @param deadline until when the mount must be there
    pub fn run(&mut self, mut deadline: Instant) -> io::Result<Over> {
        loop {
            let now = Instant::now();
            let data = epoll::EventData::new_u64(SERVER);
            self.connection.open(now, &self.ready.set, data);
            self.bridge.tick(now);
            if let Some(over) = self.move_all(now)? {
                return Ok(over);
            }
            self.say_whether_away();
            if self.stage != Stage::Mounted && deadline <= now {
                if let Stage::GivenUp(text) = &self.stage {
                    return Ok(Over::NotMounted(text.clone()));
                }
                self.give_up_mount();
                deadline = now + LAST_WORDS;
            }
            self.sleep(now, deadline)?;
        }
    }

    /// Closes the pipes: that ends the call.
    fn give_up_mount(&mut self) {
        let what = if self.bridge.is_away() {
            "is not there"
        } else {
            "does not answer"
        };
        self.stage = Stage::GivenUp(format!("the share's server on the host {what}"));
        self.pipes = None;
    }

    /// Moves what can be moved now.
    fn move_all(&mut self, now: Instant) -> io::Result<Option<Over>> {
        loop {
            let from_server = self.read_server(now)?;
            let Some(from_kernel) = self.read_kernel(now)? else {
                // A mount that failed has told why before it let go.
                self.ready.set_can_read(OUTCOME, true);
                self.bridge.to_server.hurry();
                self.write_server();
                return Ok(Some(self.read_outcome().unwrap_or(Over::Unmounted)));
            };
            self.send_what_waits()?;
            let to_server = self.write_server();
            let to_kernel = self.write_kernel();
            self.read_agent();
            self.read_signals();
            self.touch();
            if let Some(over) = self.read_outcome() {
                return Ok(Some(over));
            }
            if !(from_server || from_kernel || to_server || to_kernel) {
                return Ok(None);
            }
        }
    }

    fn read_server(&mut self, now: Instant) -> io::Result<bool> {
        let mut moved = false;
        for _ in 0..IN_A_ROW {
            if !self.ready.can_read(SERVER) || !self.bridge.wants_server() {
                break;
            }
            let read = self.connection.read(&mut self.scratch, now)?;
            if self.is_connected && read == Read::Gone {
                self.bridge.gone(now);
            } else if !self.is_connected && read != Read::Gone {
                self.bridge.connected(now);
            }
            self.is_connected = read != Read::Gone;
            match read {
                Read::Bytes(count) => {
                    self.bridge.server_sent(&self.scratch[..count], now);
                    let has_more = count == PAGE || count == self.scratch.len();
                    // Nothing is lost where there is more: the set tells of it.
                    if self.ready.tells_again() && !has_more {
                        self.ready.set_can_read(SERVER, false);
                    }
                }
                Read::Nothing | Read::Gone => self.ready.set_can_read(SERVER, false),
            }
            moved = true;
        }
        Ok(moved)
    }

    /// None once the kernel has let go.
    fn read_kernel(&mut self, now: Instant) -> io::Result<Option<bool>> {
        let mut moved = false;
        for _ in 0..IN_A_ROW {
            let Some(pipes) = self
                .pipes
                .as_ref()
                .filter(|_| self.ready.can_read(REQUESTS) && self.bridge.wants_kernel())
            else {
                break;
            };
            match rustix::io::read(&pipes.requests, &mut self.scratch[..]) {
                Ok(0) => return Ok(None),
                Ok(count) => {
                    let taken = self.bridge.kernel_wrote(&self.scratch[..count], now);
                    taken.map_err(|_| io::Error::other("the kernel speaks no 9P"))?;
                    moved = true;
                    // A pipe gives all that it has, and tells of more.
                    if count < self.scratch.len() {
                        self.ready.set_can_read(REQUESTS, false);
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.ready.set_can_read(REQUESTS, false),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(moved))
    }

    fn send_what_waits(&mut self) -> io::Result<()> {
        if self.ready.can_read(IDLE) {
            self.ready.set_can_read(IDLE, false);
            if self.idle.is_over() {
                self.bridge.to_server.hurry();
            }
        }
        let waits = self.bridge.to_server.length() > 0 && !self.bridge.to_server.is_urgent();
        if waits { self.idle.begin() } else { Ok(()) }
    }

    fn write_server(&mut self) -> bool {
        let mut moved = false;
        while self.is_connected && self.ready.can_write(SERVER) && self.bridge.to_server.is_urgent() {
            let bytes = self.bridge.to_server.gather(&mut self.scratch);
            let count = self.connection.write(bytes);
            self.bridge.to_server.advance(count);
            self.ready.set_can_write(SERVER, count > 0);
            moved |= count > 0;
        }
        moved
    }

    fn write_kernel(&mut self) -> bool {
        let mut moved = false;
        while let Some(pipes) = self.pipes.as_ref().filter(|_| self.ready.can_write(ANSWERS)) {
            if self.bridge.to_kernel.length() == 0 {
                break;
            }
            let bytes = self.bridge.to_kernel.gather(&mut self.scratch);
            // A kernel that has let go shows at the next read.
            let count = rustix::io::write(&pipes.answers, bytes).unwrap_or(0);
            self.bridge.to_kernel.advance(count);
            self.ready.set_can_write(ANSWERS, count > 0);
            moved |= count > 0;
        }
        moved
    }

    fn read_agent(&mut self) {
        while let Some(agent) = self.agent.as_ref().filter(|_| self.ready.can_read(AGENT)) {
            let mut word = [0; 16];
            match rustix::io::read(agent, &mut word[..]) {
                // Of an agent that has gone nothing more is heard; the mount lives on.
                Ok(0) => self.agent = None,
                Ok(_) if word[0] == END => self.bridge.end(GRACE),
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => self.ready.set_can_read(AGENT, false),
            }
        }
    }

    fn read_signals(&mut self) {
        while self.ready.can_read(SIGNALS) {
            const INFO: usize = size_of::<libc::signalfd_siginfo>();
            let mut info = [0; INFO];
            match rustix::io::read(&self.signals, &mut info[..]) {
                // ssi_signo is its first field.
                Ok(_) if info[..4] == libc::SIGTERM.to_ne_bytes() => self.bridge.end(GRACE),
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => self.ready.set_can_read(SIGNALS, false),
            }
        }
    }

    fn touch(&mut self) {
        if let Some(toucher) = &mut self.toucher {
            let is_away = self.bridge.is_away();
            let mut can_read = self.ready.can_read(TOUCHER);
            toucher.go_on(&mut self.bridge.notices, is_away, &mut can_read);
            self.ready.set_can_read(TOUCHER, can_read);
        }
    }

    fn read_outcome(&mut self) -> Option<Over> {
        if !self.ready.can_read(OUTCOME) || self.stage == Stage::Mounted {
            return None;
        }
        let mut errno = [0; 4];
        match rustix::io::read(&self.outcome, &mut errno[..]) {
            Ok(4) => {}
            _ => {
                self.ready.set_can_read(OUTCOME, false);
                return None;
            }
        }
        match (i32::from_ne_bytes(errno), &self.stage) {
            (0, Stage::Mounting) => {
                self.stage = Stage::Mounted;
                self.tell_agent(&[MOUNTED]);
                None
            }
            (_, Stage::GivenUp(text)) => Some(Over::NotMounted(text.clone())),
            (errno, _) => Some(Over::NotMounted(failure(Errno::from_raw_os_error(errno)))),
        }
    }

    fn say_whether_away(&mut self) {
        let away = self.bridge.is_away();
        if self.stage == Stage::Mounted && self.told_away != away {
            self.told_away = away;
            self.tell_agent(&[if away { AWAY } else { BACK }]);
        }
    }

    /// Tells what the agent can do without: where nobody reads, nobody is told.
    pub fn tell_agent(&self, word: &[u8]) {
        if let Some(agent) = &self.agent {
            let _ = rustix::io::write(agent, word);
        }
    }

    fn sleep(&mut self, now: Instant, deadline: Instant) -> io::Result<()> {
        let mount = (self.stage != Stage::Mounted).then_some(deadline);
        let next = [self.bridge.next_tick(), self.connection.next_try(), mount];
        let until = next.into_iter().flatten().min();
        self.ready
            .watch_server(&self.connection, self.is_connected && self.bridge.wants_server())?;
        self.ready
            .wait(until.map(|until| until.saturating_duration_since(now)))
    }
}
