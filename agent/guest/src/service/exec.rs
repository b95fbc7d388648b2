//! Exec: one process beside the main program, its streams on one call.

use std::pin::Pin;
use std::rc::Rc;

use bytes::Bytes;

use super::kept_exec;
use crate::agent::{Agent, Role};
use crate::aside::LOOKS;
use crate::grpc::status::{Result, Status};
use crate::grpc::{Call, Replies, Requests};
use crate::machine::cgroup::Cgroup;
use crate::process::afterglow::Afterglow;
use crate::process::io::FdStream;
use crate::process::plan::{self, StartFailure};
use crate::process::reaper::Ended;
use crate::process::spawn::{self, Child};
use crate::process::stdio::{self, Stdio};
use crate::process::{self};
use crate::proto::exec_request::Message as Ask;
use crate::proto::exec_response::Message as Answer;
use crate::proto::{ExecData, ExecRequest, ExecResponse, ExecResume, ExitStatus, ProcessSpec, Stream};
use crate::workload::program::END_OF_TRANSMISSION;

const MAX_PIECE: usize = 64 << 10;

pub async fn exec(agent: &Rc<Agent>, mut call: Call) {
    let outcome = run(agent, &mut call.requests, &mut call.replies).await;
    call.finish(outcome).await;
}

async fn run(agent: &Rc<Agent>, requests: &mut Requests, replies: &mut Replies) -> Result<()> {
    let first: Option<ExecRequest> = requests.next().await?;
    let spec = match first.and_then(|request| request.message) {
        Some(Ask::Start(spec)) => spec,
        Some(Ask::Resume(ExecResume { id, next_sequence })) => {
            return kept_exec::resume(agent, id, next_sequence, requests, replies).await;
        }
        _ => return Err(Status::invalid("the first message of Exec is `start`")),
    };
    if agent.role() != Role::Host && agent.program().is_none() {
        return Err(Status::precondition(
            "the guest has no root yet: nothing can be started in it",
        ));
    }
    if agent.exit().is_some() {
        return Err(Status::precondition(
            "the program has ended, and the guest with it",
        ));
    }
    if !spec.id.is_empty() && !spec.detach {
        return kept_exec::start(agent, spec, requests, replies).await;
    }
    let started = tokio::select! {
        biased;
        // Dropped, the start takes its process along.
        () = replies.reset() => return Err(Status::gone()),
        started = start(agent, &spec) => started,
    };
    match started {
        Ok(child) => attend(child, spec.tty, requests, replies).await,
        Err(StartFailure { code, text }) => {
            send(
                replies,
                Answer::Exit(ExitStatus {
                    code,
                    error: text,
                    ..Default::default()
                }),
            )
            .await
        }
    }
}

pub async fn start(agent: &Rc<Agent>, spec: &ProcessSpec) -> std::result::Result<Child, StartFailure> {
    // The guest's own files say who a user is, and they may be anything by now.
    let spec = spec.clone();
    let planned = LOOKS.briefly(move || Ok(plan::plan(&spec))).await;
    let plan = planned.map_err(|status| StartFailure::cannot(status.message))??;
    let cgroup = (agent.role() == Role::Init).then_some(Cgroup::Exec);
    spawn::spawn(&plan, cgroup, &agent.reaper).await
}

async fn attend(child: Child, tty: bool, requests: &mut Requests, replies: &mut Replies) -> Result<()> {
    let Child {
        mut leash,
        stdio,
        mut ended,
    } = child;
    send(replies, Answer::StartedPid(leash.pid())).await?;
    let mut terminal = None;
    let mut held = None;
    let (input, outputs) = match stdio {
        Stdio::Null => {
            leash.let_go();
            return Ok(());
        }
        Stdio::Terminal(both) => {
            let both = Rc::new(both);
            terminal = Some(both.clone());
            // A terminal whose last holder goes hangs up on a process that is just about to end.
            held = Some(both.clone());
            (Some(both.clone()), vec![Output::new(Stream::Stdout, both)])
        }
        Stdio::Pipes {
            stdin,
            stdout,
            stderr,
        } => {
            let outputs = vec![
                Output::new(Stream::Stdout, Rc::new(stdout)),
                Output::new(Stream::Stderr, Rc::new(stderr)),
            ];
            (stdin.map(Rc::new), outputs)
        }
    };
    let pid = leash.pid();
    let mut outputs = Outputs { outputs, turn: 0 };
    // Beside the output: a process that reads nothing must still be heard, and one that nobody reads still be fed.
    let mut feeding: Pin<Box<_>> = Box::pin(feed(pid, tty, input, terminal, requests));
    let pumping = async {
        let mut status = None;
        while status.is_none() || outputs.open() {
            let event = tokio::select! {
                biased;
                () = replies.reset() => return Err(Status::gone()),
                how = &mut ended, if status.is_none() => {
                    leash.let_go();
                    status = Some(how.map_err(|_| Status::internal("the reaper is gone"))?);
                    outputs.begin_afterglow();
                    continue;
                }
                event = outputs.next() => event,
            };
            if let Some((stream, data)) = event {
                let data = ExecData {
                    stream: stream as i32,
                    data,
                    ..Default::default()
                };
                send(replies, Answer::Data(data)).await?;
            }
        }
        drop(held);
        let Ended { code, signal } = status.unwrap_or(Ended { code: 255, signal: 0 });
        send(
            replies,
            Answer::Exit(ExitStatus {
                code,
                signal,
                ..Default::default()
            }),
        )
        .await
    };
    let mut pumping = Box::pin(pumping);
    tokio::select! {
        outcome = &mut feeding => outcome?,
        outcome = &mut pumping => return outcome,
    }
    pumping.await
}

pub async fn send(replies: &mut Replies, answer: Answer) -> Result<()> {
    replies
        .send(&ExecResponse {
            message: Some(answer),
        })
        .await
}

/// What the host sends: stdin, sizes, signals; until it has said all. Dropping it closes stdin.
async fn feed(
    pid: i32,
    tty: bool,
    mut input: Option<Rc<FdStream>>,
    terminal: Option<Rc<FdStream>>,
    requests: &mut Requests,
) -> Result<()> {
    while let Some(request) = requests.next::<ExecRequest>().await? {
        match request.message {
            Some(Ask::Stdin(bytes)) => write(&mut input, &bytes).await?,
            Some(Ask::StdinEof(true)) => end(&mut input, tty).await?,
            Some(Ask::Resize(window)) => {
                if let Some(terminal) = &terminal {
                    stdio::resize(
                        terminal.as_ref(),
                        plan::clamp(window.columns),
                        plan::clamp(window.rows),
                    )
                    .map_err(|error| Status::from_io("resize the terminal", error))?;
                }
            }
            Some(Ask::Signal(number)) => signal(number, |number| process::send_signal(-pid, number))?,
            Some(Ask::Start(_) | Ask::Resume(_)) => return Err(Status::invalid("a second `start`")),
            Some(Ask::StdinEof(false) | Ask::Ack(_)) | None => {}
        }
    }
    end(&mut input, tty).await
}

async fn write(input: &mut Option<Rc<FdStream>>, bytes: &[u8]) -> Result<()> {
    let Some(open) = input else { return Ok(()) };
    match open.write_all(bytes).await {
        // The process reads no more: that is its right.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EPIPE | libc::EIO)) => {
            *input = None;
            Ok(())
        }
        Err(error) => Err(Status::from_io("write to stdin", error)),
        Ok(()) => Ok(()),
    }
}

async fn end(input: &mut Option<Rc<FdStream>>, tty: bool) -> Result<()> {
    if tty {
        write(input, &[END_OF_TRANSMISSION]).await?;
    }
    *input = None;
    Ok(())
}

/// To the whole group, as a terminal would.
pub fn signal(number: i32, deliver: impl FnOnce(i32) -> std::io::Result<()>) -> Result<()> {
    if !(1..=libc::SIGRTMAX()).contains(&number) {
        return Err(Status::invalid(format!("{number} is not a signal")));
    }
    match deliver(number) {
        Err(error) if error.raw_os_error() != Some(libc::ESRCH) => {
            Err(Status::from_io(format_args!("send signal {number}"), error))
        }
        _ => Ok(()),
    }
}

struct Output {
    stream: Stream,
    /// None at its end.
    source: Option<Rc<FdStream>>,
    /// Once the process has ended.
    afterglow: Option<Afterglow>,
    buffer: Vec<u8>,
}

impl Output {
    fn new(stream: Stream, source: Rc<FdStream>) -> Self {
        Self {
            stream,
            source: Some(source),
            afterglow: None,
            buffer: Vec::new(),
        }
    }

    /// Nothing at its end.
    async fn next(&mut self) -> Bytes {
        let Some(source) = &self.source else {
            return std::future::pending().await;
        };
        if self.buffer.is_empty() {
            self.buffer.resize(MAX_PIECE, 0);
        }
        let count = match &mut self.afterglow {
            Some(glow) => glow.read(source, &mut self.buffer).await,
            None => source.read(&mut self.buffer).await.unwrap_or(0),
        };
        if count == 0 {
            self.source = None;
        }
        Bytes::copy_from_slice(&self.buffer[..count])
    }
}

struct Outputs {
    outputs: Vec<Output>,
    turn: usize,
}

impl Outputs {
    fn open(&self) -> bool {
        self.outputs.iter().any(|output| output.source.is_some())
    }

    fn begin_afterglow(&mut self) {
        for output in &mut self.outputs {
            output.afterglow = output.source.as_deref().map(Afterglow::begin);
        }
    }

    /// The next piece of either stream, in turn; None where one of them has come to its end.
    async fn next(&mut self) -> Option<(Stream, Bytes)> {
        self.turn ^= 1;
        let (first, second) = match self.outputs.as_mut_slice() {
            [only] => (only, None),
            [one, two] if self.turn == 0 => (one, Some(two)),
            [one, two] => (two, Some(one)),
            _ => return None,
        };
        let (stream, data) = match second {
            None => (first.stream, first.next().await),
            Some(second) => tokio::select! {
                biased;
                data = first.next() => (first.stream, data),
                data = second.next() => (second.stream, data),
            },
        };
        (!data.is_empty()).then_some((stream, data))
    }
}
