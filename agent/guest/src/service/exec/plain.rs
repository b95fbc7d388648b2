//! Exec without an id: the process lives no longer than the call.

use std::rc::Rc;

use tokio::sync::oneshot;

use super::outputs::Outputs;
use super::shared::{resize, send, signal};
use crate::grpc::status::{Result, Status};
use crate::grpc::{Replies, Requests};
use crate::process::io::FdStream;
use crate::process::leash::Leash;
use crate::process::reaper::Ended;
use crate::process::spawn::Child;
use crate::process::stdio::{END_OF_TRANSMISSION, Streams};
use crate::process::{self};
use crate::proto::exec_request::Message as Ask;
use crate::proto::exec_response::Message as Answer;
use crate::proto::{ExecData, ExecRequest, ExitStatus};

pub async fn attend(child: Child, tty: bool, requests: &mut Requests, replies: &mut Replies) -> Result<()> {
    let Child {
        mut leash,
        stdio,
        ended,
    } = child;
    let pid = leash.pid();
    send(replies, Answer::StartedPid(pid)).await?;
    let Streams {
        input,
        outputs,
        terminal,
    } = Streams::from(stdio);
    if outputs.is_empty() {
        // Detached: it lives on, and nobody hears of it.
        leash.let_go();
        return Ok(());
    }
    let input = Input {
        pid,
        tty,
        input,
        terminal: terminal.clone(),
    };
    // Beside the output: a process that reads nothing must still be heard, and one that nobody reads still be fed.
    let mut feeding = Box::pin(input.feed(requests));
    let mut pumping = Box::pin(pump(leash, Outputs::new(outputs), ended, terminal, replies));
    tokio::select! {
        outcome = &mut feeding => outcome?,
        outcome = &mut pumping => return outcome,
    }
    pumping.await
}

/// Tells what it writes, and then how it ended. Dropped before, it takes the process along.
async fn pump(
    mut leash: Leash,
    mut outputs: Outputs,
    mut ended: oneshot::Receiver<Ended>,
    terminal: Option<Rc<FdStream>>,
    replies: &mut Replies,
) -> Result<()> {
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
    drop(terminal);
    let Ended { code, signal, .. } = status.unwrap_or(Ended::UNKNOWN);
    let exit = ExitStatus {
        code,
        signal,
        ..Default::default()
    };
    send(replies, Answer::Exit(exit)).await
}

/// The process's stdin and terminal, for as long as the host may write.
struct Input {
    pid: i32,
    tty: bool,
    input: Option<Rc<FdStream>>,
    terminal: Option<Rc<FdStream>>,
}

impl Input {
    /// What the host sends: stdin, sizes, signals; until it has said all. Dropping it closes stdin.
    async fn feed(mut self, requests: &mut Requests) -> Result<()> {
        while let Some(request) = requests.next::<ExecRequest>().await? {
            match request.message {
                Some(Ask::Stdin(bytes)) => self.write(&bytes).await?,
                Some(Ask::StdinEof(true)) => self.end().await?,
                Some(Ask::Resize(window)) => resize(self.terminal.as_deref(), window)?,
                Some(Ask::Signal(number)) => {
                    signal(number, |number| process::send_signal(-self.pid, number))?;
                }
                Some(Ask::Start(_) | Ask::Resume(_)) => return Err(Status::invalid("a second `start`")),
                Some(Ask::StdinEof(false) | Ask::Ack(_)) | None => {}
            }
        }
        self.end().await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(open) = &self.input else { return Ok(()) };
        match open.write_all(bytes).await {
            // The process reads no more: that is its right.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EPIPE | libc::EIO)) => {
                self.input = None;
                Ok(())
            }
            Err(error) => Err(Status::from_io("write to stdin", error)),
            Ok(()) => Ok(()),
        }
    }

    async fn end(&mut self) -> Result<()> {
        if self.tty {
            self.write(&[END_OF_TRANSMISSION]).await?;
        }
        self.input = None;
        Ok(())
    }
}
