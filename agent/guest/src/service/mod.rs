//! The agent's gRPC services: which call goes where.

mod archive;
mod dial;
mod exec;
mod files;
mod machine;
mod mount;
mod output;
mod program;
mod stats;
mod watch;
mod workload;

use std::io;
use std::rc::Rc;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::agent::{Agent, Crowd, Place};
use crate::grpc::status::{Code, Status};
use crate::grpc::{self, Call};

const PREFIX: &str = "/kiln.agent.v1.AgentService/";

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
    if let Some(name) = path.strip_prefix(workload::PREFIX) {
        return workload::dispatch(agent, name, call).await;
    }
    if let Some(name) = path.strip_prefix(mount::PREFIX) {
        return mount::dispatch(agent, name, call).await;
    }
    match path.strip_prefix(PREFIX).unwrap_or_default() {
        "State" => machine::state(agent, call).await,
        "Boot" => machine::boot(agent, call).await,
        "StartProgram" => machine::start_program(agent, call).await,
        "AckExit" => machine::acknowledge_exit(agent, call).await,
        "ConfigureNetwork" => machine::configure_network(agent, call).await,
        "SetNames" => machine::set_names(agent, call).await,
        "SetClock" => machine::set_clock(agent, call).await,
        "Sync" => machine::sync(call).await,
        "Stats" => stats::stats(call).await,

        "Logs" => program::logs(agent, call).await,
        "AckLogs" => program::acknowledge_logs(agent, call).await,
        "Stdin" => program::stdin(agent, call).await,
        "Input" => program::input(agent, call).await,
        "Resize" => program::resize(agent, call).await,
        "Signal" => program::signal(agent, call).await,
        "Stop" => program::stop(agent, call).await,
        "Wait" => program::wait(agent, call).await,

        "Exec" => match enter(&agent.execs, MOST_EXECS, "execs") {
            Ok(_place) => exec::exec(agent, call).await,
            Err(status) => call.finish(Err(status)).await,
        },
        "EndExec" => exec::end(agent, call).await,

        "ReadArchive" => archive::read(call).await,
        "WriteArchive" => archive::write(call).await,
        "StatPath" => call.unary(archive::stat).await,
        "ListDirectory" => files::list(call).await,
        "MakeDirectory" => call.unary(files::make_directory).await,
        "RemovePath" => call.unary(files::remove).await,
        "RenamePath" => call.unary(files::rename).await,
        "WatchPath" => watch::watch(call).await,

        "Dial" => match enter(&agent.dials, MOST_DIALS, "connections") {
            Ok(_place) => dial::dial(call).await,
            Err(status) => call.finish(Err(status)).await,
        },
        _ => {
            let status = Status::new(Code::Unimplemented, format!("the agent has no call {path}"));
            call.finish(Err(status)).await;
        }
    }
}

fn enter(crowd: &Crowd, most: usize, what: &str) -> Result<Place, Status> {
    let full = || {
        Status::new(
            Code::ResourceExhausted,
            format!("the agent carries no more {what}"),
        )
    };
    crowd.enter(most).ok_or_else(full)
}

#[cfg(test)]
mod tests;
