//! The main program of app mode: its output to the log, its end to the host.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::timeout;

use super::exit::Exit;
use super::writers::Writers;
use crate::clock;
use crate::grpc::status::{Code, Result, Status};
use crate::logring::{LogRing, MAX_PIECE};
use crate::machine::cgroup::Cgroup;
use crate::process::io::FdStream;
use crate::process::plan::{self, StartFailure};
use crate::process::reaper::{Ended, Reaper};
use crate::process::spawn::{self, Child};
use crate::process::stdio::{self, END_OF_TRANSMISSION, Streams};
use crate::process::{self};
use crate::proto::{ExitStatus, ProcessSpec, Stream, WindowSize};
use crate::role::Role;
use crate::share;

/// What is killed is gone at once, unless the kernel holds it (a dead disk): then its output is not waited for.
const LAST_OUTPUT: Duration = Duration::from_secs(2);
const LAST_PROCESS: Duration = Duration::from_secs(2);
const LAST_LOOK: Duration = Duration::from_millis(2);

pub struct Program {
    /// The leader; in system mode 1, the image's init.
    pub pid: i32,
    exit: Rc<Exit>,
    input: RefCell<Option<Rc<FdStream>>>,
    terminal: Option<Rc<FdStream>>,
    pub writers: Writers,
}

impl Program {
    /// The image's own init: signals go to it, and nothing else is ours.
    pub fn init(exit: &Rc<Exit>) -> Rc<Self> {
        Rc::new(Self {
            pid: 1,
            exit: exit.clone(),
            input: RefCell::default(),
            terminal: None,
            writers: Writers::default(),
        })
    }

    /// Starts the main program: what it writes goes to the log, its end to `exit`.
    pub async fn start(
        role: Role,
        reaper: &Rc<Reaper>,
        log: &Rc<LogRing>,
        exit: &Rc<Exit>,
        spec: &ProcessSpec,
    ) -> std::result::Result<Rc<Self>, StartFailure> {
        let plan = plan::plan(spec)?;
        plan::make_workdir(&plan)?;
        let cgroup = (role == Role::Init).then_some(Cgroup::Main);
        let Child {
            mut leash,
            stdio,
            ended,
        } = spawn::spawn(&plan, cgroup.as_ref(), reaper).await?;
        // The main program outlives every caller.
        leash.let_go();
        let streams = Streams::from(stdio);
        let program = Rc::new(Self {
            pid: leash.pid(),
            exit: exit.clone(),
            // A terminal could always be written to.
            input: RefCell::new(streams.input.filter(|_| spec.stdin)),
            terminal: streams.terminal,
            writers: Writers::default(),
        });
        let pumps = streams
            .outputs
            .into_iter()
            .map(|(stream, source)| pump(log, source, stream))
            .collect();
        let watched = program.clone();
        let (reaper, log) = (reaper.clone(), log.clone());
        spawn_local(async move { watched.watch(role, &reaper, &log, ended, pumps).await });
        Ok(program)
    }

    /// From its end on: what it left behind is killed, its last output taken, and then its end told.
    async fn watch(
        &self,
        role: Role,
        reaper: &Reaper,
        log: &LogRing,
        ended: oneshot::Receiver<Ended>,
        pumps: Vec<JoinHandle<()>>,
    ) {
        // The reaper lives as long as the agent.
        let Ok(Ended { code, signal, .. }) = ended.await else {
            return;
        };
        let oom_killed = code == 128 + libc::SIGKILL && Cgroup::Main.oom_kills() > 0;
        kill_the_rest(role, reaper, self.pid).await;
        log.lift_limit();
        let _ = timeout(LAST_OUTPUT, async {
            for pump in pumps {
                let _ = pump.await;
            }
        })
        .await;
        log.close();
        self.input.take();
        self.exit.publish(ExitStatus {
            code,
            signal,
            oom_killed,
            ..Default::default()
        });
    }

    /// Signals the program.
    pub fn signal(&self, signal: i32) -> Result<()> {
        if self.exit.get().is_some() {
            return Err(Status::precondition("the program has ended"));
        }
        if !(1..=libc::SIGRTMAX()).contains(&signal) {
            return Err(Status::invalid(format!("{signal} is not a signal")));
        }
        process::send_signal(self.pid, signal).map_err(|error| match error.raw_os_error() {
            Some(libc::ESRCH) => Status::new(Code::FailedPrecondition, "the program has ended"),
            _ => Status::from_io(format_args!("send signal {signal}"), error),
        })
    }

    /// Signals the program now and kills it after `patience_ms`.
    pub fn stop(self: &Rc<Self>, signal: i32, patience_ms: u32) -> Result<()> {
        self.signal(signal)?;
        let program = self.clone();
        spawn_local(async move {
            let patience = Duration::from_millis(u64::from(patience_ms));
            if timeout(patience, program.exit.wait()).await.is_err() {
                // It may end at this very moment.
                let _ = process::send_signal(program.pid, libc::SIGKILL);
            }
        });
        Ok(())
    }

    pub fn resize(&self, window: WindowSize) -> Result<()> {
        let terminal = self
            .terminal
            .as_ref()
            .ok_or_else(|| Status::precondition("the program has no terminal"))?;
        stdio::resize(terminal, window).map_err(|error| Status::from_io("resize the terminal", error))
    }

    /// Writes to stdin, waiting for a slow program. A program that has closed it takes no more, which is no error.
    pub async fn write_input(&self, bytes: &[u8]) -> Result<()> {
        let Some(input) = self.input.borrow().clone() else {
            return Err(Status::precondition("the program's stdin is not open"));
        };
        match input.write_all(bytes).await {
            Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {
                self.input.take();
                Ok(())
            }
            Err(error) => Err(Status::from_io("write to the program's stdin", error)),
            Ok(()) => Ok(()),
        }
    }

    /// As `write_input`, counting each byte that is written: dropped half-way, the rest was not taken.
    pub async fn write_counted(&self, mut bytes: &[u8], taken: &Cell<u64>) -> Result<()> {
        while !bytes.is_empty() {
            let Some(input) = self.input.borrow().clone() else {
                return Err(Status::precondition("the program's stdin is not open"));
            };
            let count = match input.write_some(bytes).await {
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {
                    self.input.take();
                    bytes.len()
                }
                Err(error) => return Err(Status::from_io("write to the program's stdin", error)),
                Ok(count) => count,
            };
            taken.set(taken.get() + count as u64);
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// Ends stdin: closes the pipe, or types the terminal's end-of-file.
    pub async fn end_input(&self) -> Result<()> {
        if self.terminal.is_some() {
            return self.write_input(&[END_OF_TRANSMISSION]).await;
        }
        self.input.take();
        Ok(())
    }
}

/// Moves output into the log for as long as there is any, no faster than the log has room.
fn pump(log: &Rc<LogRing>, source: Rc<FdStream>, stream: Stream) -> JoinHandle<()> {
    let log = log.clone();
    spawn_local(async move {
        let mut buffer = vec![0; MAX_PIECE];
        loop {
            log.room().await;
            match source.read(&mut buffer).await {
                Ok(count) if count > 0 => log.append(stream, clock::realtime_ns(), &buffer[..count]),
                _ => return,
            }
        }
    })
}

/// When the program has ended, so has the machine: nothing it left behind runs on.
pub async fn kill_the_rest(role: Role, reaper: &Reaper, pid: i32) {
    if role != Role::Init {
        process::kill_group(pid);
        return;
    }
    reaper.machine_ends();
    // -1 from PID 1: every process but itself. All of them are PID 1's children by the time their parents are gone;
    // the signal's own result says nothing, as it "reaches" kernel threads too.
    let all_gone = async {
        while reaper.reap() {
            let spared = share::bridges();
            if spared.is_empty() {
                let _ = process::send_signal(-1, libc::SIGKILL);
            } else if !process::kill_all_but(&spared) {
                return;
            }
            tokio::time::sleep(LAST_LOOK).await;
        }
    };
    if !share::bridges().is_empty() {
        // All at once, before one by one: of those that fork, one by one never gets the last.
        let _ = Cgroup::Main.kill().and_then(|()| Cgroup::Exec.kill());
    }
    let _ = timeout(LAST_PROCESS, all_gone).await;
}
