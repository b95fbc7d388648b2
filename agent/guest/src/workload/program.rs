//! The main program of app mode: its output to the log, its end to the host.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_local};
use tokio::time::timeout;

use crate::agent::{Agent, Role};
use crate::clock;
use crate::grpc::status::{Code, Result, Status};
use crate::logring::MAX_PIECE;
use crate::machine::cgroup::{self, Cgroup};
use crate::process::io::FdStream;
use crate::process::plan::{self, StartFailure};
use crate::process::spawn::{self, Child};
use crate::process::stdio::{self, Stdio};
use crate::process::{self, reaper::Ended};
use crate::proto::{ExitStatus, ProcessSpec, Stream};

/// What is killed is gone at once, unless the kernel holds it (a dead disk): then its output is not waited for.
const LAST_OUTPUT: Duration = Duration::from_secs(2);
const LAST_PROCESS: Duration = Duration::from_secs(2);
const LAST_LOOK: Duration = Duration::from_millis(2);

pub struct Program {
    /// The leader; in system mode 1, the image's init.
    pub pid: i32,
    input: RefCell<Option<Rc<FdStream>>>,
    terminal: Option<Rc<FdStream>>,
    writers: RefCell<Writers>,
}

/// Those who write to stdin by a name of their own, the latest last, and how far each has come.
type Writers = VecDeque<(String, Rc<Cell<u64>>)>;
const MAX_WRITERS: usize = 64;

impl Program {
    /// The image's own init: signals go to it, and nothing else is ours.
    pub fn init() -> Rc<Self> {
        Rc::new(Self {
            pid: 1,
            input: RefCell::default(),
            terminal: None,
            writers: RefCell::default(),
        })
    }

    pub fn resize(&self, columns: u32, rows: u32) -> Result<()> {
        let terminal = self
            .terminal
            .as_ref()
            .ok_or_else(|| Status::precondition("the program has no terminal"))?;
        stdio::resize(terminal.as_ref(), plan::clamp(columns), plan::clamp(rows))
            .map_err(|error| Status::from_io("resize the terminal", error))
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

    /// What a writer has given so far, its end counted as one more. Of many writers the oldest are forgotten.
    pub fn writer(&self, name: &str) -> Rc<Cell<u64>> {
        let mut writers = self.writers.borrow_mut();
        let known = writers.iter().position(|(known, _)| known == name);
        let writer = known
            .and_then(|at| writers.remove(at))
            .unwrap_or_else(|| (name.to_owned(), Rc::default()));
        let taken = writer.1.clone();
        writers.push_back(writer);
        if writers.len() > MAX_WRITERS {
            writers.pop_front();
        }
        taken
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

/// VEOF of a terminal in its default settings.
pub const END_OF_TRANSMISSION: u8 = 4;

/// Starts the main program. A program that cannot be started has ended: the agent's exit says why.
pub async fn start(agent: &Rc<Agent>, spec: &ProcessSpec) -> i32 {
    match try_start(agent, spec).await {
        Ok(pid) => pid,
        Err(StartFailure { code, text }) => {
            agent.log.close();
            agent.publish_exit(ExitStatus {
                code,
                error: text,
                ..Default::default()
            });
            0
        }
    }
}

async fn try_start(agent: &Rc<Agent>, spec: &ProcessSpec) -> std::result::Result<i32, StartFailure> {
    let plan = plan::plan(spec)?;
    plan::make_workdir(&plan)?;
    let cgroup = (agent.role() == Role::Init).then_some(Cgroup::Main);
    let Child {
        mut leash,
        stdio,
        ended,
    } = spawn::spawn(&plan, cgroup, &agent.reaper).await?;
    // The main program outlives every caller.
    leash.let_go();
    let pid = leash.pid();
    let mut pumps = Vec::new();
    let (input, terminal) = match stdio {
        Stdio::Terminal(terminal) => {
            let terminal = Rc::new(terminal);
            pumps.push(pump(agent, terminal.clone(), Stream::Stdout));
            (spec.stdin.then(|| terminal.clone()), Some(terminal))
        }
        Stdio::Pipes {
            stdin,
            stdout,
            stderr,
        } => {
            pumps.push(pump(agent, Rc::new(stdout), Stream::Stdout));
            pumps.push(pump(agent, Rc::new(stderr), Stream::Stderr));
            (stdin.map(Rc::new), None)
        }
        Stdio::Null => (None, None),
    };
    agent.program.replace(Some(Rc::new(Program {
        pid,
        input: RefCell::new(input),
        terminal,
        writers: RefCell::default(),
    })));
    spawn_local(watch(agent.clone(), ended, pid, pumps));
    Ok(pid)
}

/// Moves output into the log for as long as there is any, no faster than the log has room.
fn pump(agent: &Rc<Agent>, source: Rc<FdStream>, stream: Stream) -> JoinHandle<()> {
    let agent = agent.clone();
    spawn_local(async move {
        let mut buffer = vec![0; MAX_PIECE];
        loop {
            agent.log.room().await;
            match source.read(&mut buffer).await {
                Ok(count) if count > 0 => agent.log.append(stream, clock::realtime_ns(), &buffer[..count]),
                _ => return,
            }
        }
    })
}

async fn watch(
    agent: Rc<Agent>,
    ended: tokio::sync::oneshot::Receiver<Ended>,
    pid: i32,
    pumps: Vec<JoinHandle<()>>,
) {
    // The reaper lives as long as the agent.
    let Ok(Ended { code, signal }) = ended.await else {
        return;
    };
    let oom_killed = code == 128 + libc::SIGKILL && cgroup::oom_kills(Cgroup::Main) > 0;
    kill_the_rest(&agent, pid).await;
    agent.log.lift_limit();
    let _ = timeout(LAST_OUTPUT, async {
        for pump in pumps {
            let _ = pump.await;
        }
    })
    .await;
    agent.log.close();
    if let Some(program) = agent.program() {
        program.input.take();
    }
    agent.publish_exit(ExitStatus {
        code,
        signal,
        oom_killed,
        ..Default::default()
    });
}

/// When the program has ended, so has the machine: nothing it left behind runs on.
pub async fn kill_the_rest(agent: &Agent, pid: i32) {
    if agent.role() != Role::Init {
        process::kill_group(pid);
        return;
    }
    // -1 from PID 1: every process but itself. All of them are PID 1's children by the time their parents are gone;
    // the signal's own result says nothing, as it "reaches" kernel threads too.
    let all_gone = async {
        while agent.reaper.reap() {
            let _ = process::send_signal(-1, libc::SIGKILL);
            tokio::time::sleep(LAST_LOOK).await;
        }
    };
    let _ = timeout(LAST_PROCESS, all_gone).await;
}

/// Signals the program now and kills it after `patience_ms`.
pub fn stop(agent: &Rc<Agent>, signal: i32, patience_ms: u32) -> Result<()> {
    let program = running(agent)?;
    deliver(&program, signal)?;
    let agent = agent.clone();
    spawn_local(async move {
        let patience = Duration::from_millis(u64::from(patience_ms));
        if timeout(patience, agent.exited()).await.is_err() {
            // It may end at this very moment.
            let _ = process::send_signal(program.pid, libc::SIGKILL);
        }
    });
    Ok(())
}

pub fn signal(agent: &Agent, signal: i32) -> Result<()> {
    deliver(&*running(agent)?, signal)
}

fn running(agent: &Agent) -> Result<Rc<Program>> {
    match agent.program() {
        Some(program) if agent.exit().is_none() => Ok(program),
        Some(_) => Err(Status::precondition("the program has ended")),
        None => Err(Status::precondition("no program runs yet")),
    }
}

fn deliver(program: &Program, signal: i32) -> Result<()> {
    if !(1..=libc::SIGRTMAX()).contains(&signal) {
        return Err(Status::invalid(format!("{signal} is not a signal")));
    }
    process::send_signal(program.pid, signal).map_err(|error| match error.raw_os_error() {
        Some(libc::ESRCH) => Status::new(Code::FailedPrecondition, "the program has ended"),
        _ => Status::from_io(format_args!("send signal {signal}"), error),
    })
}
