//! A process that outlives the session that asked for it: an exec with an id, or an extra program. What it writes waits in
//! a log of its own, bounded, until the host has it; how it ended waits until the host knows.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{Notify, oneshot, watch};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{sleep, timeout};

use super::in_tests;
use super::writers::Writers;
use crate::clock;
use crate::grpc::status::{Result, Status};
use crate::logring::{LogRing, MAX_PIECE};
use crate::machine::cgroup::Cgroup;
use crate::once::Once;
use crate::process::afterglow::Afterglow;
use crate::process::io::FdStream;
use crate::process::reaper::Ended;
use crate::process::spawn::Child;
use crate::process::stdio::{END_OF_TRANSMISSION, Streams};
use crate::process::untaken::is_untaken;
use crate::process::{self};
use crate::proto::{ExitStatus, Stream};

/// What a process may have written that the host does not have yet.
pub const CAPACITY: usize = 512 << 10;

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

fn look() -> Duration {
    in_tests("KILN_TEST_LOOK_MS").unwrap_or(LOOK)
}

/// What one kind of them has that another has not.
pub struct Terms {
    /// What the process may have written that the host does not have yet.
    pub capacity: usize,
    /// Its own, where it has one.
    pub group: Option<Cgroup>,
    /// Nobody need attend: its end waits for no reader of its output, and what it leaves in the background may go on
    /// writing, to nobody; else that would be killed by its own next word.
    pub lasting: bool,
}

impl Terms {
    /// An exec's: execs share a group.
    pub const EXEC: Self = Self {
        capacity: CAPACITY,
        group: None,
        lasting: false,
    };
}

/// A process that was started.
pub struct Kept {
    pub pid: i32,
    pub tty: bool,
    pub log: LogRing,
    group: Option<Cgroup>,
    lasting: bool,
    pub writers: Writers,
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
    exit: Once<ExitStatus>,
}

impl Kept {
    /// Takes the process over from its start.
    pub fn adopt(child: Child, tty: bool, terms: Terms) -> Rc<Self> {
        let Child {
            mut leash,
            stdio,
            ended,
        } = child;
        leash.let_go();
        let streams = Streams::from(stdio);
        let kept = Rc::new(Self {
            pid: leash.pid(),
            tty,
            log: LogRing::new(terms.capacity),
            group: terms.group,
            lasting: terms.lasting,
            writers: Writers::default(),
            taken: Cell::new(0),
            took: Notify::new(),
            input: RefCell::new(streams.input),
            terminal: streams.terminal,
            alive: Cell::new(true),
            given_up: Cell::new(false),
            asked: Cell::new(None),
            asking: Notify::new(),
            exit: Once::default(),
        });
        spawn_local(kept.clone().watch(ended, streams.outputs));
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

    /// As `write`, counted for one of several writers.
    pub async fn write_counted(&self, mut bytes: &[u8], taken: &Cell<u64>) -> Result<()> {
        while !bytes.is_empty() {
            let count = self.write_some(bytes).await?;
            bytes = &bytes[count..];
            taken.set(taken.get() + count as u64);
        }
        Ok(())
    }

    /// Whether it has a stdin that may be written to.
    pub fn takes_input(&self) -> bool {
        self.input.borrow().is_some()
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

    /// Signals it now and kills it after `patience_ms`.
    pub fn stop(self: &Rc<Self>, number: i32, patience_ms: u32) -> std::io::Result<()> {
        self.signal(number)?;
        let kept = self.clone();
        spawn_local(async move {
            let patience = Duration::from_millis(u64::from(patience_ms));
            if timeout(patience, kept.exit.wait()).await.is_err() {
                kept.kill();
            }
        });
        Ok(())
    }

    /// Whether it runs; what it wrote may still be on its way into the log when it does no more.
    pub fn is_alive(&self) -> bool {
        self.alive.get()
    }

    pub fn exit(&self) -> Option<ExitStatus> {
        self.exit.get()
    }

    /// Waits for its end; all that it wrote is in the log then.
    pub async fn exited(&self) -> ExitStatus {
        self.exit.wait().await
    }

    /// Where it runs: all of its group, or of its process group on a kernel that cannot kill groups.
    fn kill(&self) {
        if !self.alive.get() {
            return;
        }
        if self.group.as_ref().is_none_or(|group| group.kill().is_err()) {
            process::kill_group(self.pid);
        }
    }

    /// Kills it where it runs; its output is nobody's any more.
    pub fn give_up(&self) {
        self.kill();
        self.given_up.set(true);
        self.log.close();
    }

    async fn watch(self: Rc<Self>, ended: oneshot::Receiver<Ended>, outputs: Vec<(Stream, Rc<FdStream>)>) {
        let over = watch::Sender::new(false);
        let pumps: Vec<_> = outputs
            .iter()
            .map(|(stream, source)| self.pump(source.clone(), *stream, over.subscribe()))
            .collect();
        // The reaper lives as long as the agent.
        let Ended {
            code,
            signal,
            with_machine,
        } = ended.await.unwrap_or(Ended::UNKNOWN);
        self.alive.set(false);
        let oom_kills = self.group.as_ref().map_or(0, Cgroup::oom_kills);
        if self.lasting {
            self.log.lift_limit();
        }
        over.send_replace(true);
        for pump in pumps {
            let _ = pump.await;
        }
        self.log.close();
        self.input.take();
        if let Some(group) = &self.group {
            group.remove();
        }
        self.exit.set(ExitStatus {
            code,
            signal,
            oom_killed: code == 128 + libc::SIGKILL && oom_kills > 0,
            finished_unix_ns: clock::realtime_ns(),
            with_machine,
            ..Default::default()
        });
        if self.lasting {
            for (_, source) in outputs {
                spawn_local(drain(source));
            }
        }
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

/// Reads to the end of the last who writes, and keeps nothing.
async fn drain(source: Rc<FdStream>) {
    let mut buffer = vec![0; 4 << 10];
    while source.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
}
