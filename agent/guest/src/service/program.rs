//! Calls about the main program: its output, its input, signals to it, its end.

use std::rc::Rc;

use super::output::follow;
use crate::agent::Agent;
use crate::grpc::status::{Result, Status};
use crate::grpc::{Call, Replies, Requests};
use crate::logring::Piece;
use crate::machine::system;
use crate::proto::input_request::Message as Ask;
use crate::proto::{
    AckLogsRequest, AckLogsResponse, InputRequest, InputResponse, InputStart, LogsRequest, LogsResponse,
    Mode, ResizeRequest, ResizeResponse, SignalRequest, SignalResponse, StdinRequest, StdinResponse,
    StopRequest, StopResponse, WaitRequest, WaitResponse,
};

const MAX_NAME: usize = 64;

pub async fn logs(agent: &Rc<Agent>, mut call: Call) {
    let outcome = async {
        let request: LogsRequest = call
            .requests
            .next()
            .await?
            .ok_or_else(|| Status::invalid("the request holds no message"))?;
        let message = |piece: Piece| LogsResponse {
            sequence: piece.sequence,
            stream: piece.stream as i32,
            time_unix_ns: piece.time_ns,
            data: piece.data,
        };
        follow(&agent.log, request.from_sequence, &mut call.replies, message).await
    }
    .await;
    call.finish(outcome).await;
}

pub async fn acknowledge_logs(agent: &Rc<Agent>, call: Call) {
    call.unary(|request: AckLogsRequest| async move {
        agent.log.acknowledge(request.next_sequence);
        Ok(AckLogsResponse {})
    })
    .await;
}

pub async fn stdin(agent: &Rc<Agent>, mut call: Call) {
    let outcome = async {
        let program = agent.program()?;
        while let Some(StdinRequest { data, eof }) = call.requests.next().await? {
            let write = async {
                program.write_input(&data).await?;
                if eof { program.end_input().await } else { Ok(()) }
            };
            tokio::select! {
                written = write => written?,
                _ = agent.exit.wait() => return Err(Status::precondition("the program has ended")),
            }
        }
        Ok(())
    }
    .await;
    let outcome = match outcome {
        Ok(()) => call.replies.send(&StdinResponse {}).await,
        Err(status) => Err(status),
    };
    call.finish(outcome).await;
}

/// Stdin by writers with names, so that one whose session broke goes on where it was.
pub async fn input(agent: &Rc<Agent>, mut call: Call) {
    let outcome = take_input(agent, &mut call.requests, &mut call.replies).await;
    call.finish(outcome).await;
}

async fn take_input(agent: &Rc<Agent>, requests: &mut Requests, replies: &mut Replies) -> Result<()> {
    let first: Option<InputRequest> = requests.next().await?;
    let Some(Ask::Start(InputStart { writer })) = first.and_then(|request| request.message) else {
        return Err(Status::invalid("the first message of Input is `start`"));
    };
    check_writer(&writer)?;
    let program = agent.program()?;
    let taken = program.writers.taken(&writer);
    replies.send(&InputResponse { taken: taken.get() }).await?;
    while let Some(InputRequest { message }) = requests.next().await? {
        let write = async {
            match message {
                Some(Ask::Data(data)) => program.write_counted(&data, &taken).await,
                Some(Ask::Eof(true)) => {
                    program.end_input().await?;
                    taken.set(taken.get() + 1);
                    Ok(())
                }
                _ => Ok(()),
            }
        };
        tokio::select! {
            written = write => written?,
            _ = agent.exit.wait() => return Err(Status::precondition("the program has ended")),
        }
        replies.send(&InputResponse { taken: taken.get() }).await?;
    }
    Ok(())
}

pub fn check_writer(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(Status::invalid("a writer has a name of at most 64 bytes"));
    }
    Ok(())
}

pub async fn resize(agent: &Rc<Agent>, call: Call) {
    call.unary(|request: ResizeRequest| async move {
        let window = request.window.ok_or_else(|| Status::invalid("no window size"))?;
        agent.program()?.resize(window)?;
        Ok(ResizeResponse {})
    })
    .await;
}

pub async fn signal(agent: &Rc<Agent>, call: Call) {
    call.unary(|request: SignalRequest| async move {
        agent.program()?.signal(request.signal)?;
        Ok(SignalResponse {})
    })
    .await;
}

pub async fn stop(agent: &Rc<Agent>, call: Call) {
    call.unary(|request| async move { end(agent, request) }).await;
}

pub fn end(agent: &Rc<Agent>, request: StopRequest) -> Result<StopResponse> {
    if agent.mode.get() == Mode::System {
        system::stop(agent, request.signal, request.timeout_ms)?;
    } else {
        let signal = if request.signal == 0 {
            libc::SIGTERM
        } else {
            request.signal
        };
        agent.program()?.stop(signal, request.timeout_ms)?;
    }
    Ok(StopResponse {})
}

pub async fn wait(agent: &Rc<Agent>, call: Call) {
    call.unary(|_: WaitRequest| async move {
        let exit = Some(agent.exit.wait().await);
        Ok(WaitResponse {
            exit,
            next_sequence: agent.log.next(),
        })
    })
    .await;
}
