//! What may take long, off the one thread that serves: syncs and waits for locks. Their answers come when they come; a
//! flush ends a wait, and waits for a sync.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;

use crate::waiter::{Waiter, take_signal};
use crate::wire::{Answer, kind};

const SYNC_THREADS: usize = 4;
const MAX_PENDING: usize = 256;
const STACK: usize = 128 * 1024;

struct Outcome {
    session: u64,
    tag: u16,
    result: Result<(), Errno>,
}

struct Pending {
    kind: u8,
    /// Of flushes that are answered after it.
    flushes: Vec<u16>,
    /// Of a wait that can be ended.
    waiter: Option<Arc<Waiter>>,
}

struct Sync {
    session: u64,
    tag: u16,
    file: Arc<File>,
    data_only: bool,
}

pub struct Jobs {
    /// Readable when something has ended.
    pub wake: Arc<OwnedFd>,
    sender: Sender<Outcome>,
    outcomes: Receiver<Outcome>,
    syncs: Sender<Sync>,
    /// The threads take from it.
    queue: Arc<Mutex<Receiver<Sync>>>,
    threads: usize,
    pending: HashMap<u16, Pending>,
    /// Told to end, and not seen to.
    ending: Vec<Arc<Waiter>>,
    session: u64,
}

impl Jobs {
    pub fn new() -> Result<Self, Errno> {
        take_signal();
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let (sender, outcomes) = channel();
        let (syncs, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        let (pending, ending) = (HashMap::new(), Vec::new());
        Ok(Self {
            wake,
            sender,
            outcomes,
            syncs,
            queue,
            threads: 0,
            pending,
            ending,
            session: 0,
        })
    }

    /// Answered later.
    pub fn sync(&mut self, tag: u16, file: Arc<File>, data_only: bool) -> Result<(), Errno> {
        self.add(tag, kind::FSYNC, None)?;
        let busy = self
            .pending
            .values()
            .filter(|pending| pending.waiter.is_none())
            .count();
        if self.threads < SYNC_THREADS && self.threads < busy {
            self.start_sync_thread(tag)?;
        }
        // The receiver lives as long as this.
        let _ = self.syncs.send(Sync {
            session: self.session,
            tag,
            file,
            data_only,
        });
        Ok(())
    }

    fn start_sync_thread(&mut self, tag: u16) -> Result<(), Errno> {
        let (queue, outcomes, wake) = (self.queue.clone(), self.sender.clone(), self.wake.clone());
        let body = move || {
            loop {
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok(Sync {
                    session,
                    tag,
                    file,
                    data_only,
                }) = next
                else {
                    return;
                };
                let result = if data_only {
                    rustix::fs::fdatasync(&file)
                } else {
                    rustix::fs::fsync(&file)
                };
                drop(file);
                let _ = outcomes.send(Outcome { session, tag, result });
                wake_up(&wake);
            }
        };
        match Builder::new().stack_size(STACK).spawn(body) {
            Ok(_) => self.threads += 1,
            Err(_) if self.threads > 0 => {}
            Err(_) => {
                self.pending.remove(&tag);
                return Err(Errno::AGAIN);
            }
        }
        Ok(())
    }

    /// Answered when `wait` has it, or not at all after a flush.
    pub fn wait(
        &mut self,
        tag: u16,
        wait: impl FnOnce(&Waiter) -> Result<(), Errno> + Send + 'static,
    ) -> Result<(), Errno> {
        let waiter = Arc::new(Waiter::default());
        self.add(tag, kind::LOCK, Some(waiter.clone()))?;
        let (session, outcomes, wake) = (self.session, self.sender.clone(), self.wake.clone());
        let body = move || {
            let result = waiter.run(wait);
            let _ = outcomes.send(Outcome { session, tag, result });
            wake_up(&wake);
        };
        Builder::new()
            .stack_size(STACK)
            .spawn(body)
            .map(drop)
            .map_err(|_| {
                self.pending.remove(&tag);
                Errno::AGAIN
            })
    }

    fn add(&mut self, tag: u16, kind: u8, waiter: Option<Arc<Waiter>>) -> Result<(), Errno> {
        if self.pending.contains_key(&tag) {
            return Err(Errno::INVAL);
        }
        if self.pending.len() + self.ending.len() >= MAX_PENDING {
            return Err(Errno::AGAIN);
        }
        self.pending.insert(
            tag,
            Pending {
                kind,
                flushes: Vec::new(),
                waiter,
            },
        );
        Ok(())
    }

    /// True where the flush is answered later, after what it is about.
    pub fn flush(&mut self, tag: u16, old: u16) -> bool {
        let Some(pending) = self.pending.get_mut(&old) else {
            return false;
        };
        if pending.flushes.len() >= MAX_PENDING {
            return false;
        }
        pending.flushes.push(tag);
        if let Some(waiter) = &pending.waiter {
            waiter.cancel();
            self.ending.push(waiter.clone());
        }
        true
    }

    /// Writes the answers of what has ended.
    pub fn collect(&mut self, out: &mut Vec<u8>) {
        let mut count = [0; 8];
        let _ = rustix::io::read(&*self.wake, &mut count); // empty where another pass took them
        self.ending.retain(|waiter| !waiter.has_ended());
        while let Ok(Outcome { session, tag, result }) = self.outcomes.try_recv() {
            if session != self.session {
                continue;
            }
            let Some(Pending {
                kind,
                flushes,
                waiter,
            }) = self.pending.remove(&tag)
            else {
                continue;
            };
            let cancelled = waiter.is_some() && !flushes.is_empty() && result.is_err();
            if !cancelled {
                let mut answer = Answer::begin(out, kind + 1, tag);
                match result {
                    Ok(()) if kind == kind::LOCK => {
                        answer.u8(0);
                        answer.end();
                    }
                    Ok(()) => answer.end(),
                    Err(errno) => answer.fail(errno),
                }
            }
            for flush in flushes {
                Answer::begin(out, kind::FLUSH + 1, flush).end();
            }
        }
    }

    /// True while waits are told to end and have not: the signal may come just before a thread begins to wait.
    pub fn nudge(&mut self) -> bool {
        self.ending.retain(|waiter| !waiter.has_ended());
        for waiter in &self.ending {
            waiter.cancel();
        }
        !self.ending.is_empty()
    }

    /// Nobody waits for any of it any more.
    pub fn reset(&mut self) {
        self.session += 1;
        for (_, Pending { waiter, .. }) in self.pending.drain() {
            if let Some(waiter) = waiter {
                waiter.cancel();
                self.ending.push(waiter);
            }
        }
    }
}

fn wake_up(wake: &OwnedFd) {
    let _ = rustix::io::write(wake, &1u64.to_ne_bytes()); // full: it is readable already
}
