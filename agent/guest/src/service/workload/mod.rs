//! WorkloadService: programs by id. The calls about "main" are AgentService's own, under their newer names.

mod find;
mod input;
mod start;

use std::rc::Rc;

use self::find::{MAIN, Workload, ended, exit_of};
use super::exec::shared::signal as checked;
use super::output::follow;
use super::program;
use crate::agent::Agent;
use crate::grpc::status::{Code, Result, Status};
use crate::grpc::{Call, Replies, Requests};
use crate::logring::{LogRing, Piece};
use crate::process::stdio;
use crate::proto::{
    AckWorkloadLogsRequest, AckWorkloadLogsResponse, ForgetWorkloadRequest, ForgetWorkloadResponse,
    ListWorkloadsRequest, ListWorkloadsResponse, Mode, ReadWorkloadLogsRequest, ReadWorkloadLogsResponse,
    ResizeWorkloadRequest, ResizeWorkloadResponse, SignalWorkloadRequest, SignalWorkloadResponse,
    StopRequest, StopWorkloadRequest, StopWorkloadResponse, WaitWorkloadRequest, WaitWorkloadResponse,
    WorkloadKind, WorkloadState,
};
use crate::workload::slots::Slot;

pub const PREFIX: &str = "/kiln.agent.v1.WorkloadService/";

pub async fn dispatch(agent: &Rc<Agent>, name: &str, call: Call) {
    match name {
        "StartWorkload" => call.unary(|request| start::start(agent, request)).await,
        "ListWorkloads" => {
            call.unary(|_: ListWorkloadsRequest| async move { Ok(list(agent)) })
                .await;
        }
        "ReadWorkloadLogs" => read_logs(agent, call).await,
        "AckWorkloadLogs" => call.unary(|request| acknowledge_logs(agent, request)).await,
        "WriteWorkloadInput" => input::write(agent, call).await,
        "ResizeWorkload" => call.unary(|request| resize(agent, request)).await,
        "SignalWorkload" => call.unary(|request| signal(agent, request)).await,
        "StopWorkload" => call.unary(|request| stop(agent, request)).await,
        "WaitWorkload" => call.unary(|request| wait(agent, request)).await,
        "ForgetWorkload" => {
            call.unary(|request: ForgetWorkloadRequest| async move { forget(agent, &request.id) })
                .await;
        }
        _ => {
            let status = Status::new(Code::Unimplemented, format!("the agent has no call {name}"));
            call.finish(Err(status)).await;
        }
    }
}

fn list(agent: &Agent) -> ListWorkloadsResponse {
    let main = agent.program().ok().map(|program| WorkloadState {
        id: MAIN.to_owned(),
        kind: match agent.mode.get() {
            Mode::System => WorkloadKind::Init,
            _ => WorkloadKind::Main,
        } as i32,
        pid: program.pid,
        first_sequence: agent.log.first(),
        next_sequence: agent.log.next(),
        exit: agent.exit.get(),
    });
    let extras = agent.extras.list();
    let extras = extras.into_iter().map(|(id, slot)| state_of(id, &slot));
    ListWorkloadsResponse {
        workloads: main.into_iter().chain(extras).collect(),
    }
}

fn state_of(id: String, slot: &Slot) -> WorkloadState {
    let state = WorkloadState {
        id,
        kind: WorkloadKind::Extra as i32,
        ..Default::default()
    };
    match slot.outcome_yet() {
        None => state,
        Some(Err(failure)) => WorkloadState {
            exit: Some(exit_of(failure)),
            ..state
        },
        Some(Ok(kept)) => WorkloadState {
            pid: kept.pid,
            first_sequence: kept.log.first(),
            next_sequence: kept.log.next(),
            exit: kept.exit(),
            ..state
        },
    }
}

async fn read_logs(agent: &Rc<Agent>, mut call: Call) {
    let outcome = told(agent, &mut call.requests, &mut call.replies).await;
    call.finish(outcome).await;
}

async fn told(agent: &Agent, requests: &mut Requests, replies: &mut Replies) -> Result<()> {
    let request: Option<ReadWorkloadLogsRequest> = requests.next().await?;
    let request = request.ok_or_else(|| Status::invalid("the request holds no message"))?;
    let workload = Workload::find(agent, &request.id).await?;
    let Some(log) = workload.log(agent) else {
        return Ok(());
    };
    let message = |piece: Piece| ReadWorkloadLogsResponse {
        sequence: piece.sequence,
        stream: piece.stream as i32,
        time_unix_ns: piece.time_ns,
        data: piece.data,
    };
    follow(log, request.from_sequence, replies, message).await
}

async fn acknowledge_logs(
    agent: &Rc<Agent>,
    request: AckWorkloadLogsRequest,
) -> Result<AckWorkloadLogsResponse> {
    let workload = Workload::find(agent, &request.id).await?;
    if let Some(log) = workload.log(agent) {
        log.acknowledge(request.next_sequence);
    }
    Ok(AckWorkloadLogsResponse {})
}

async fn resize(agent: &Rc<Agent>, request: ResizeWorkloadRequest) -> Result<ResizeWorkloadResponse> {
    let window = request.window.ok_or_else(|| Status::invalid("no window size"))?;
    match Workload::find(agent, &request.id).await? {
        Workload::Main => agent.program()?.resize(window)?,
        Workload::Failed(_) => return Err(ended()),
        Workload::Extra(kept) => {
            let terminal = kept.terminal.as_deref();
            let terminal = terminal.ok_or_else(|| Status::precondition("the program has no terminal"))?;
            stdio::resize(terminal, window).map_err(|error| Status::from_io("resize the terminal", error))?;
        }
    }
    Ok(ResizeWorkloadResponse {})
}

async fn signal(agent: &Rc<Agent>, request: SignalWorkloadRequest) -> Result<SignalWorkloadResponse> {
    match Workload::find(agent, &request.id).await? {
        Workload::Main => agent.program()?.signal(request.signal)?,
        Workload::Extra(kept) if kept.is_alive() => checked(request.signal, |number| kept.signal(number))?,
        Workload::Extra(_) | Workload::Failed(_) => return Err(ended()),
    }
    Ok(SignalWorkloadResponse {})
}

async fn stop(agent: &Rc<Agent>, request: StopWorkloadRequest) -> Result<StopWorkloadResponse> {
    let StopWorkloadRequest {
        id,
        signal,
        timeout_ms,
    } = request;
    match Workload::find(agent, &id).await? {
        Workload::Main => program::end(agent, StopRequest { signal, timeout_ms }).map(drop)?,
        Workload::Extra(kept) if kept.is_alive() => {
            let signal = if signal == 0 { libc::SIGTERM } else { signal };
            checked(signal, |number| kept.stop(number, timeout_ms))?;
        }
        Workload::Extra(_) | Workload::Failed(_) => return Err(ended()),
    }
    Ok(StopWorkloadResponse {})
}

async fn wait(agent: &Rc<Agent>, request: WaitWorkloadRequest) -> Result<WaitWorkloadResponse> {
    let workload = Workload::find(agent, &request.id).await?;
    let exit = match &workload {
        Workload::Main => agent.exit.wait().await,
        Workload::Extra(kept) => kept.exited().await,
        Workload::Failed(exit) => exit.clone(),
    };
    Ok(WaitWorkloadResponse {
        exit: Some(exit),
        next_sequence: workload.log(agent).map_or(0, LogRing::next),
    })
}

fn forget(agent: &Agent, id: &str) -> Result<ForgetWorkloadResponse> {
    if id == MAIN {
        return Err(Status::invalid("the main program is not forgotten"));
    }
    agent.extras.end(id);
    Ok(ForgetWorkloadResponse {})
}

#[cfg(test)]
mod tests;
