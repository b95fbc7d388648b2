//! Exec with an id: a call attends to a process that does not need it. See `workload::slots`.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;
use tokio::sync::Notify;

use super::shared::{self, failed, resize, send, signal};
use crate::agent::Agent;
use crate::grpc::status::{Code, Result, Status};
use crate::grpc::{Replies, Requests};
use crate::proto::exec_request::Message as Ask;
use crate::proto::exec_response::Message as Answer;
use crate::proto::{ExecData, ExecRequest, ExecStarted, ProcessSpec};
use crate::workload::kept::{Kept, Terms};
use crate::workload::slots::{Attendance, Slot};

/// Stdin that waits for the process: hosts send less than this before they hear what was taken, so that neither signals
/// nor acknowledgements wait behind it.
const MAX_WAITING: usize = 1 << 20;

/// Starts the process, or attends to the one that the same id has started.
pub async fn start(
    agent: &Rc<Agent>,
    spec: ProcessSpec,
    requests: &mut Requests,
    replies: &mut Replies,
) -> Result<()> {
    let id = spec.id.clone();
    let (slot, new) = agent.kept.take(&id)?;
    if new {
        let (agent, slot) = (agent.clone(), slot.clone());
        // On a task of its own: a host that goes away in the middle must not leave half a start.
        tokio::task::spawn_local(async move {
            let start = async {
                let child = shared::start(&agent, &spec).await?;
                Ok(Kept::adopt(child, spec.tty, Terms::EXEC))
            };
            slot.settle(start).await;
        });
    }
    attend(agent, id, slot, 0, requests, replies).await
}

/// Goes on with a process that is there.
pub async fn resume(
    agent: &Rc<Agent>,
    id: String,
    from: u64,
    requests: &mut Requests,
    replies: &mut Replies,
) -> Result<()> {
    let slot = agent.kept.find(&id)?;
    attend(agent, id, slot, from, requests, replies).await
}

async fn attend(
    agent: &Rc<Agent>,
    id: String,
    slot: Rc<Slot>,
    from: u64,
    requests: &mut Requests,
    replies: &mut Replies,
) -> Result<()> {
    let _attendance = Attendance::begin(agent.kept.clone(), id.clone(), slot.clone());
    let queue = Queue::default();
    let heard_all = Cell::new(false);
    let outcome = tokio::select! {
        biased;
        () = replies.reset() => return Err(Status::gone()),
        outcome = slot.outcome() => outcome,
    };
    match outcome {
        Ok(kept) => {
            let listening = async {
                tokio::try_join!(hear(&kept, &queue, requests), feed(&kept, &queue))?;
                heard_all.set(true);
                std::future::pending::<Result<()>>().await
            };
            tokio::select! {
                told = tell(&kept, from, replies) => told?,
                failed = listening => return failed,
                number = kept.starved() => {
                    agent.kept.end(&id);
                    let text = format!("the program does not get to run and has not taken signal {number}");
                    return Err(Status::new(Code::Aborted, text));
                }
            }
        }
        Err(failure) => send(replies, failed(failure)).await?,
    }
    // The host has its exit when it says so by half-closing. A session that breaks before says nothing.
    while !heard_all.get() && !queue.closed.get() {
        if requests.next::<ExecRequest>().await?.is_none() {
            break;
        }
    }
    agent.kept.end(&id);
    Ok(())
}

/// Stdin on its way, and its end.
#[derive(Default)]
struct Queue {
    pieces: RefCell<VecDeque<Option<Bytes>>>,
    waiting: Cell<usize>,
    /// The host has half-closed.
    closed: Cell<bool>,
    changed: Notify,
}

impl Queue {
    fn push(&self, piece: Option<Bytes>) {
        self.waiting
            .set(self.waiting.get() + piece.as_ref().map_or(0, Bytes::len));
        self.pieces.borrow_mut().push_back(piece);
        self.changed.notify_waiters();
    }

    async fn room(&self) {
        while self.waiting.get() >= MAX_WAITING {
            self.changed.notified().await;
        }
    }
}

/// What the host says, until it has said all.
async fn hear(kept: &Kept, queue: &Queue, requests: &mut Requests) -> Result<()> {
    while let Some(request) = requests.next::<ExecRequest>().await? {
        match request.message {
            Some(Ask::Stdin(bytes)) => {
                queue.room().await;
                queue.push(Some(bytes));
            }
            Some(Ask::StdinEof(true)) => queue.push(None),
            Some(Ask::Ack(sequence)) => kept.log.acknowledge(sequence),
            Some(Ask::Resize(window)) => resize(kept.terminal.as_deref(), window)?,
            Some(Ask::Signal(number)) => signal(number, |number| kept.signal(number))?,
            Some(Ask::Start(_) | Ask::Resume(_)) => return Err(Status::invalid("a second `start`")),
            Some(Ask::StdinEof(false)) | None => {}
        }
    }
    queue.closed.set(true);
    queue.push(None);
    Ok(())
}

/// Gives the process what has come, until its stdin has ended. What is dropped on the way was not counted.
async fn feed(kept: &Kept, queue: &Queue) -> Result<()> {
    loop {
        let changed = queue.changed.notified();
        let next = queue.pieces.borrow_mut().pop_front();
        match next {
            Some(Some(bytes)) => {
                kept.write(&bytes).await?;
                queue.waiting.set(queue.waiting.get() - bytes.len());
                queue.changed.notify_waiters();
            }
            Some(None) => return kept.end_input().await,
            None => changed.await,
        }
    }
}

/// Output from `from` on, and what was taken of stdin; then the exit.
async fn tell(kept: &Kept, mut from: u64, replies: &mut Replies) -> Result<()> {
    let claim = kept.log.claim();
    if from < kept.log.first() || from > kept.log.next() {
        let (first, next) = (kept.log.first(), kept.log.next());
        let text = format!("output is held from {first} to {next}, not from {from}");
        return Err(Status::new(Code::OutOfRange, text));
    }
    let mut taken = kept.taken();
    let started = ExecStarted {
        pid: kept.pid,
        stdin_next: taken,
    };
    send(replies, Answer::Started(started)).await?;
    loop {
        let took = kept.took.notified();
        if kept.taken() != taken {
            taken = kept.taken();
            send(replies, Answer::StdinTaken(taken)).await?;
            continue;
        }
        let piece = tokio::select! {
            biased;
            () = replies.reset() => return Err(Status::gone()),
            piece = kept.log.read(claim, from) => piece,
            () = took => continue,
        };
        let Some(piece) = piece else { break };
        from = piece.sequence + piece.data.len() as u64;
        let data = ExecData {
            stream: piece.stream as i32,
            data: piece.data,
            sequence: piece.sequence,
        };
        send(replies, Answer::Data(data)).await?;
    }
    if !kept.log.is_read_by(claim) {
        return Err(Status::new(
            Code::Cancelled,
            "another call has taken the exec over",
        ));
    }
    let exit = tokio::select! {
        () = replies.reset() => return Err(Status::gone()),
        exit = kept.exited() => exit,
    };
    send(replies, Answer::Exit(exit)).await
}
