//! The agent's gRPC service: which call goes where, and the calls that are a few lines.

mod archive;
mod dial;
mod exec;
mod files;
mod input;
mod kept_exec;
mod stats;
mod watch;

use std::io;
use std::rc::Rc;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::agent::{Agent, Role};
use crate::aside::SYNCS;
use crate::clock;
use crate::grpc::status::{Code, Result, Status};
use crate::grpc::{self, Call};
use crate::machine::{boot, dns, end, net, system};
use crate::proto::{
    AckExitRequest, AckExitResponse, AckLogsRequest, AckLogsResponse, BootRequest, BootResponse,
    ConfigureNetworkRequest, ConfigureNetworkResponse, EndExecRequest, EndExecResponse, LogsRequest,
    LogsResponse, Mode, Phase, ResizeRequest, ResizeResponse, SetClockRequest, SetClockResponse,
    SignalRequest, SignalResponse, StartProgramRequest, StateRequest, StatsRequest, StdinRequest,
    StdinResponse, StopRequest, StopResponse, SyncRequest, SyncResponse, WaitRequest, WaitResponse,
};
use crate::workload::program;

const PREFIX: &str = "/kiln.agent.v1.AgentService/";
/// Between the last answer and the end of the machine: for the answer to leave it.
const FAREWELL: std::time::Duration = std::time::Duration::from_millis(20);

/// Above what the host allows itself: a place that it has given back may not be free here yet.
const MOST_DIALS: usize = 1152;
const MOST_EXECS: usize = 448;

/// Serves one session on `io`.
pub async fn serve<S>(io: S, agent: &Rc<Agent>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let _open = agent.open_session();
    grpc::serve(io, |path, call| dispatch(agent.clone(), path, call)).await
}

async fn dispatch(agent: Rc<Agent>, path: String, call: Call) {
    let agent = &agent;
    match path.strip_prefix(PREFIX).unwrap_or_default() {
        "State" => call.unary(|_: StateRequest| async { Ok(agent.state()) }).await,
        "Boot" => {
            call.unary(|request: BootRequest| {
                let agent = agent.clone();
                detached(async move { boot::boot(&agent, request).await })
            })
            .await
        }
        "StartProgram" => {
            call.unary(|_: StartProgramRequest| {
                let agent = agent.clone();
                detached(async move { boot::start_program(&agent).await })
            })
            .await
        }
        "Logs" => logs(agent, call).await,
        "AckLogs" => {
            call.unary(|request: AckLogsRequest| async move {
                agent.log.acknowledge(request.next_sequence);
                Ok(AckLogsResponse {})
            })
            .await;
        }
        "Stdin" => stdin(agent, call).await,
        "Input" => input::input(agent, call).await,
        "Resize" => call.unary(|request| async move { resize(agent, request) }).await,
        "Signal" => {
            call.unary(|request: SignalRequest| async move {
                program::signal(agent, request.signal).map(|()| SignalResponse {})
            })
            .await;
        }
        "Stop" => call.unary(|request| async move { stop(agent, request) }).await,
        "Wait" => {
            call.unary(|_: WaitRequest| async move {
                let exit = Some(agent.exited().await);
                Ok(WaitResponse {
                    exit,
                    next_sequence: agent.log.next(),
                })
            })
            .await;
        }
        "AckExit" => call.unary(|request| acknowledge_exit(agent, request)).await,
        "Exec" => match agent.execs.enter(MOST_EXECS) {
            Some(_place) => exec::exec(agent, call).await,
            None => call.finish(Err(crowded("execs"))).await,
        },
        "EndExec" => {
            call.unary(|request: EndExecRequest| async move {
                agent.kept.end(&request.id);
                Ok(EndExecResponse {})
            })
            .await;
        }
        "ReadArchive" => archive::read(call).await,
        "WriteArchive" => archive::write(call).await,
        "StatPath" => call.unary(archive::stat).await,
        "ListDirectory" => files::list(call).await,
        "MakeDirectory" => call.unary(files::make_directory).await,
        "RemovePath" => call.unary(files::remove).await,
        "RenamePath" => call.unary(files::rename).await,
        "WatchPath" => watch::watch(call).await,
        "Dial" => match agent.dials.enter(MOST_DIALS) {
            Some(_place) => dial::dial(call).await,
            None => call.finish(Err(crowded("connections"))).await,
        },
        "ConfigureNetwork" => {
            call.unary(|request| async move { configure_network(agent, &request) })
                .await
        }
        "SetClock" => {
            call.unary(|request| async move { set_clock(agent, &request) })
                .await
        }
        "Sync" => call.unary(sync).await,
        "Stats" => call.unary(|_: StatsRequest| async { Ok(stats::read()) }).await,
        _ => {
            let status = Status::new(Code::Unimplemented, format!("the agent has no call {path}"));
            call.finish(Err(status)).await;
        }
    }
}

fn crowded(what: &str) -> Status {
    Status::new(
        Code::ResourceExhausted,
        format!("the agent carries no more {what}"),
    )
}

/// Boots on a task of its own: a host that goes away in the middle must not leave half a root.
async fn detached(boot: impl Future<Output = Result<BootResponse>> + 'static) -> Result<BootResponse> {
    tokio::task::spawn_local(boot)
        .await
        .unwrap_or_else(|error| Err(Status::internal(format!("the boot broke off: {error}"))))
}

async fn logs(agent: &Rc<Agent>, mut call: Call) {
    let outcome = async {
        let request: LogsRequest = call
            .requests
            .next()
            .await?
            .ok_or_else(|| Status::invalid("the request holds no message"))?;
        let mut from = request.from_sequence;
        if from > agent.log.next() {
            let text = format!(
                "the log has not come to {from} yet: it is at {}",
                agent.log.next()
            );
            return Err(Status::new(Code::OutOfRange, text));
        }
        let claim = agent.log.claim();
        loop {
            let piece = tokio::select! {
                piece = agent.log.read(claim, from) => piece,
                () = call.replies.reset() => return Err(Status::gone()),
            };
            let Some(piece) = piece else { return Ok(()) };
            from = piece.sequence + piece.data.len() as u64;
            let message = LogsResponse {
                sequence: piece.sequence,
                stream: piece.stream as i32,
                time_unix_ns: piece.time_ns,
                data: piece.data,
            };
            call.replies.send(&message).await?;
        }
    }
    .await;
    call.finish(outcome).await;
}

async fn stdin(agent: &Rc<Agent>, mut call: Call) {
    let outcome = async {
        let program = agent
            .program()
            .ok_or_else(|| Status::precondition("no program runs"))?;
        while let Some(StdinRequest { data, eof }) = call.requests.next().await? {
            let write = async {
                program.write_input(&data).await?;
                if eof { program.end_input().await } else { Ok(()) }
            };
            tokio::select! {
                written = write => written?,
                _ = agent.exited() => return Err(Status::precondition("the program has ended")),
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

fn resize(agent: &Agent, request: ResizeRequest) -> Result<ResizeResponse> {
    let window = request.window.ok_or_else(|| Status::invalid("no window size"))?;
    let program = agent
        .program()
        .ok_or_else(|| Status::precondition("no program runs"))?;
    program.resize(window.columns, window.rows)?;
    Ok(ResizeResponse {})
}

fn stop(agent: &Rc<Agent>, request: StopRequest) -> Result<StopResponse> {
    if agent.mode.get() == Mode::System {
        system::stop(agent, request.signal, request.timeout_ms)?;
    } else {
        let signal = if request.signal == 0 {
            libc::SIGTERM
        } else {
            request.signal
        };
        program::stop(agent, signal, request.timeout_ms)?;
    }
    Ok(StopResponse {})
}

/// The host has what it needs: settle the disks, answer, end.
async fn acknowledge_exit(agent: &Rc<Agent>, _: AckExitRequest) -> Result<AckExitResponse> {
    if agent.exit().is_none() {
        return Err(Status::precondition("the program has not ended"));
    }
    agent.phase.set(Phase::Ending);
    if agent.role() == Role::Init {
        program::kill_the_rest(agent, 0).await;
    }
    if agent.role() != Role::Host {
        end::settle_disks();
    }
    let agent = agent.clone();
    tokio::task::spawn_local(async move {
        tokio::time::sleep(FAREWELL).await;
        end::end_machine(&agent);
    });
    Ok(AckExitResponse {})
}

fn configure_network(agent: &Agent, request: &ConfigureNetworkRequest) -> Result<ConfigureNetworkResponse> {
    if agent.role() == Role::Host {
        return Err(Status::precondition("the network of a host is not the agent's"));
    }
    if agent.phase.get() == Phase::Waiting {
        return Err(Status::precondition("the guest has not booted yet"));
    }
    if let Some(network) = &request.network {
        net::configure(network)?;
    }
    if let Some(dns) = &request.dns {
        change_dns(agent, dns)?;
    }
    Ok(ConfigureNetworkResponse {})
}

fn change_dns(agent: &Agent, dns: &crate::proto::Dns) -> Result<()> {
    let placed: &mut dns::Placed = &mut agent.placed.borrow_mut();
    placed.change_dns(dns)
}

fn set_clock(agent: &Agent, request: &SetClockRequest) -> Result<SetClockResponse> {
    if agent.role() == Role::Host {
        return Err(Status::precondition("the clock of a host is not the agent's"));
    }
    let to = if request.step_ns == 0 {
        request.unix_ns
    } else {
        clock::realtime_ns().saturating_add(request.step_ns)
    };
    let stepped_ns = clock::set_realtime_ns(to).map_err(|error| Status::from_io("set the clock", error))?;
    Ok(SetClockResponse { stepped_ns })
}

/// On a thread: a slow disk holds up this call and nothing else.
async fn sync(_: SyncRequest) -> Result<SyncResponse> {
    let settle = || {
        rustix::fs::sync();
        Ok(SyncResponse {})
    };
    SYNCS.run(settle).await
}

#[cfg(test)]
mod tests;
