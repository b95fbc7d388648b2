//! Execs with an id: processes that outlive the session that asked for them. What they write waits in a log of their own,
//! bounded, until the host has it; how they ended waits until the host knows. One that nobody attends any more is ended.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::sleep;

use crate::agent::Agent;
use crate::clock;
use crate::grpc::status::{Code, Result, Status};
use crate::logring::{LogRing, MAX_PIECE};
use crate::process::afterglow::Afterglow;
use crate::process::io::FdStream;
use crate::process::plan::StartFailure;
use crate::process::reaper::Ended;
use crate::process::spawn::Child;
use crate::process::stdio::Stdio;
use crate::process::untaken::is_untaken;
use crate::process::{self};
use crate::proto::{ExitStatus, Stream};
use crate::workload::program::END_OF_TRANSMISSION;

/// What a process may have written that the host does not have yet.
const CAPACITY: usize = 512 << 10;
const MAX_KEPT: usize = 512;
const ID_LENGTHS: std::ops::RangeInclusive<usize> = 16..=64;
/// Longer than any client tries to bring its kilnd back.
const UNATTENDED: Duration = Duration::from_secs(90);

/// What asks a program to end.
const ENDING: [i32; 5] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGKILL,
    libc::SIGTERM,
];
/// Between two looks at whether such a signal was taken, ...
const LOOK: Duration = Duration::from_secs(1);
/// ... and how often in a row it was not until the program counts as one that does not get to run.
const LOOKS: u32 = 10;

/// How a start went: the process, or why there is none.
pub type Outcome = std::result::Result<Rc<Kept>, StartFailure>;

/// All of them, by id.
#[derive(Default)]
pub struct KeptExecs(RefCell<HashMap<String, Rc<Slot>>>);

/// One id: from before its process is started, so that a second start of it waits for the first.
pub struct Slot {
    outcome: watch::Sender<Option<Outcome>>,
    /// Nobody wants it any more: what its start brings about is killed, for no map knows it.
    ended: watch::Sender<bool>,
    calls: Cell<usize>,
    /// Counts changes of `calls`: tells a timer whether anybody came meanwhile.
    turn: Cell<u64>,
}

impl KeptExecs {
    /// The slot of the id, and whether it is new: then the caller has to start the process.
    pub fn take(&self, id: &str) -> Result<(Rc<Slot>, bool)> {
        if !ID_LENGTHS.contains(&id.len()) {
            return Err(Status::invalid("the id of an exec has 16 to 64 bytes"));
        }
        let mut all = self.0.borrow_mut();
        if let Some(slot) = all.get(id) {
            return Ok((slot.clone(), false));
        }
        if all.len() >= MAX_KEPT {
            let text = format!("{MAX_KEPT} execs are kept already");
            return Err(Status::new(Code::ResourceExhausted, text));
        }
        let slot = Rc::new(Slot {
            outcome: watch::Sender::new(None),
            ended: watch::Sender::new(false),
            calls: Cell::new(0),
            turn: Cell::new(0),
        });
        all.insert(id.to_owned(), slot.clone());
        Ok((slot, true))
    }

    pub fn find(&self, id: &str) -> Result<Rc<Slot>> {
        let found = self.0.borrow().get(id).cloned();
        found.ok_or_else(|| Status::new(Code::NotFound, "there is no such exec"))
    }

    /// Kills what still runs of it, or will, and forgets it.
    pub fn end(&self, id: &str) {
        let Some(slot) = self.0.borrow_mut().remove(id) else {
            return;
        };
        slot.ended.send_replace(true);
        if let Some(Ok(kept)) = &*slot.outcome.borrow() {
            kept.give_up();
        }
    }

    fn holds(&self, id: &str, slot: &Rc<Slot>) -> bool {
        self.0.borrow().get(id).is_some_and(|held| Rc::ptr_eq(held, slot))
    }
}

impl Slot {
    /// Runs the start, gives it up where the slot is ended meanwhile, and tells everybody who waits how it went.
    pub async fn settle(&self, start: impl Future<Output = Outcome>) {
        let mut ended = self.ended.subscribe();
        let outcome = tokio::select! {
            biased;
            // Dropped, the start takes its process along.
            _ = ended.wait_for(|&ended| ended) => Err(StartFailure::cannot("it was ended before it had started")),
            outcome = start => outcome,
        };
        self.outcome.send_replace(Some(outcome));
    }

    pub async fn outcome(&self) -> Outcome {
        let mut watcher = self.outcome.subscribe();
        loop {
            if let Some(outcome) = watcher.borrow_and_update().clone() {
                return outcome;
            }
            // The sender is in this very slot.
            let _ = watcher.changed().await;
        }
    }
}

/// A call that attends to an exec, for as long as this lives. With the last of them its time begins to run.
pub struct Attendance {
    home: Rc<Agent>,
    id: String,
    slot: Rc<Slot>,
}

impl Attendance {
    pub fn begin(home: Rc<Agent>, id: String, slot: Rc<Slot>) -> Self {
        slot.calls.set(slot.calls.get() + 1);
        slot.turn.set(slot.turn.get() + 1);
        Self { home, id, slot }
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        let slot = self.slot.clone();
        slot.calls.set(slot.calls.get() - 1);
        slot.turn.set(slot.turn.get() + 1);
        let turn = slot.turn.get();
        let (home, id) = (self.home.clone(), std::mem::take(&mut self.id));
        if slot.calls.get() > 0 || !home.kept.holds(&id, &slot) {
            return;
        }
        spawn_local(async move {
            sleep(unattended()).await;
            if slot.turn.get() == turn && home.kept.holds(&id, &slot) {
                home.kept.end(&id);
            }
        });
    }
}

fn unattended() -> Duration {
    in_tests("KILN_TEST_UNATTENDED_MS").unwrap_or(UNATTENDED)
}

fn look() -> Duration {
    in_tests("KILN_TEST_LOOK_MS").unwrap_or(LOOK)
}

/// What a test on the host wants in place of a long time.
fn in_tests(name: &str) -> Option<Duration> {
    if !cfg!(feature = "host-test") {
        return None;
    }
    let ms = std::env::var(name).ok()?.parse().ok()?;
    Some(Duration::from_millis(ms))
}

/// A process that was started.
pub struct Kept {
    pub pid: i32,
    pub tty: bool,
    pub log: LogRing,
    /// Bytes of stdin taken, its end counted as one more.
    taken: Cell<u64>,
    pub took: Notify,
    input: RefCell<Option<Rc<FdStream>>>,
    pub terminal: Option<Rc<FdStream>>,
    /// The number is nobody else's yet.
    alive: Cell<bool>,
    given_up: Cell<bool>,
    /// The last signal that asked it to end and is not known to be taken.
    asked: Cell<Option<i32>>,
    asking: Notify,
    exit: watch::Sender<Option<ExitStatus>>,
}

impl Kept {
    /// Takes the process over from its start.
    pub fn adopt(child: Child, tty: bool) -> Rc<Self> {
        let Child {
            mut leash,
            stdio,
            ended,
        } = child;
        leash.let_go();
        let mut outputs = Vec::new();
        let mut terminal = None;
        let input = match stdio {
            Stdio::Null => None,
            Stdio::Terminal(both) => {
                let both = Rc::new(both);
                // Held to the end: a terminal whose last holder goes hangs up on a process that is about to end.
                terminal = Some(both.clone());
                outputs.push((both.clone(), Stream::Stdout));
                Some(both)
            }
            Stdio::Pipes {
                stdin,
                stdout,
                stderr,
            } => {
                outputs.push((Rc::new(stdout), Stream::Stdout));
                outputs.push((Rc::new(stderr), Stream::Stderr));
                stdin.map(Rc::new)
            }
        };
        let kept = Rc::new(Self {
            pid: leash.pid(),
            tty,
            log: LogRing::new(CAPACITY),
            taken: Cell::new(0),
            took: Notify::new(),
            input: RefCell::new(input),
            terminal,
            alive: Cell::new(true),
            given_up: Cell::new(false),
            asked: Cell::new(None),
            asking: Notify::new(),
            exit: watch::Sender::new(None),
        });
        spawn_local(kept.clone().watch(ended, outputs));
        kept
    }

    pub fn taken(&self) -> u64 {
        self.taken.get()
    }

    fn take(&self, count: usize) {
        self.taken.set(self.taken.get() + count as u64);
        self.took.notify_waiters();
    }

    /// Writes to stdin, counting each byte that the process has got: dropped half-way, the rest was not taken.
    pub async fn write(&self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let count = self.write_some(bytes).await?;
            bytes = &bytes[count..];
            self.take(count);
        }
        Ok(())
    }

    async fn write_some(&self, bytes: &[u8]) -> Result<usize> {
        let Some(open) = self.input.borrow().clone() else {
            return Ok(bytes.len());
        };
        match open.write_some(bytes).await {
            // The process reads no more: that is its right.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EPIPE | libc::EIO)) => {
                self.input.take();
                Ok(bytes.len())
            }
            Err(error) => Err(Status::from_io("write to stdin", error)),
            Ok(count) => Ok(count),
        }
    }

    /// Ends stdin: closes the pipe, or types the terminal's end-of-file.
    pub async fn end_input(&self) -> Result<()> {
        if self.tty && self.input.borrow().is_some() {
            self.write_some(&[END_OF_TRANSMISSION]).await?;
        }
        self.input.take();
        self.take(1);
        Ok(())
    }

    /// To the whole group, as a terminal would; nothing where it has ended.
    pub fn signal(&self, number: i32) -> std::io::Result<()> {
        if !self.alive.get() {
            return Ok(());
        }
        process::send_signal(-self.pid, number)?;
        if ENDING.contains(&number) {
            self.asked.set(Some(number));
            self.asking.notify_waiters();
        }
        Ok(())
    }

    /// Returns once a signal that asks for the end was not taken for too long: the program does not get to run.
    pub async fn starved(&self) -> i32 {
        loop {
            let asking = self.asking.notified();
            // Left in its place until it is taken: where this attendance ends during the looks, the next one looks.
            let Some(number) = self.asked.get() else {
                asking.await;
                continue;
            };
            let mut looks = 0;
            while looks < LOOKS {
                sleep(look()).await;
                if !self.alive.get() || !is_untaken(self.pid, number) {
                    if self.asked.get() == Some(number) {
                        self.asked.set(None);
                    }
                    break;
                }
                looks += 1;
            }
            if looks == LOOKS {
                return number;
            }
        }
    }

    /// Waits for its end; all that it wrote is in the log then.
    pub async fn exited(&self) -> ExitStatus {
        let mut watcher = self.exit.subscribe();
        loop {
            if let Some(status) = watcher.borrow_and_update().clone() {
                return status;
            }
            // The sender is in this very value.
            let _ = watcher.changed().await;
        }
    }

    fn give_up(&self) {
        if self.alive.get() {
            process::kill_group(self.pid);
        }
        self.given_up.set(true);
        self.log.close();
    }

    async fn watch(
        self: Rc<Self>,
        ended: tokio::sync::oneshot::Receiver<Ended>,
        outputs: Vec<(Rc<FdStream>, Stream)>,
    ) {
        let over = watch::Sender::new(false);
        let pumps: Vec<_> = outputs
            .into_iter()
            .map(|(source, stream)| self.pump(source, stream, over.subscribe()))
            .collect();
        // The reaper lives as long as the agent.
        let Ended { code, signal } = ended.await.unwrap_or(Ended { code: 255, signal: 0 });
        self.alive.set(false);
        over.send_replace(true);
        for pump in pumps {
            let _ = pump.await;
        }
        self.log.close();
        self.input.take();
        self.exit.send_replace(Some(ExitStatus {
            code,
            signal,
            ..Default::default()
        }));
    }

    /// Moves output into the log, no faster than the host takes it.
    fn pump(
        self: &Rc<Self>,
        source: Rc<FdStream>,
        stream: Stream,
        mut over: watch::Receiver<bool>,
    ) -> JoinHandle<()> {
        let kept = self.clone();
        spawn_local(async move {
            let mut buffer = vec![0; MAX_PIECE];
            let mut afterglow = None;
            loop {
                kept.log.room().await;
                if kept.given_up.get() {
                    return;
                }
                let count = if *over.borrow() {
                    let glow = afterglow.get_or_insert_with(|| Afterglow::begin(&source));
                    glow.read(&source, &mut buffer).await
                } else {
                    tokio::select! {
                        biased;
                        read = source.read(&mut buffer) => read.unwrap_or(0),
                        _ = over.changed() => continue,
                    }
                };
                if count == 0 {
                    return;
                }
                kept.log.append(stream, clock::realtime_ns(), &buffer[..count]);
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "an-id-nobody-guesses";

    #[tokio::test]
    async fn a_start_that_is_ended_meanwhile_is_given_up() {
        let kept = KeptExecs::default();
        let (slot, new) = kept.take(ID).unwrap();
        assert!(new);
        let started = Rc::new(());
        let held = started.clone();
        let start = async move {
            let _held = held;
            std::future::pending::<Outcome>().await
        };
        let settling = slot.settle(start);
        kept.end(ID);
        settling.await;
        assert_eq!(Rc::strong_count(&started), 1, "the start was dropped");
        let Err(failure) = slot.outcome().await else {
            panic!("it was adopted");
        };
        assert!(failure.text.contains("ended before"), "{}", failure.text);
        assert!(kept.find(ID).is_err());
    }
}
