//! Exec: one process beside the main program, its streams on one call. With an id it outlives the call.

mod kept;
mod outputs;
mod plain;
pub mod shared;

use std::rc::Rc;

use self::shared::{failed, may_start, send, start};
use crate::agent::Agent;
use crate::grpc::status::{Result, Status};
use crate::grpc::{Call, Replies, Requests};
use crate::proto::exec_request::Message as Ask;
use crate::proto::{EndExecRequest, EndExecResponse, ExecRequest, ExecResume};

pub async fn exec(agent: &Rc<Agent>, mut call: Call) {
    let outcome = run(agent, &mut call.requests, &mut call.replies).await;
    call.finish(outcome).await;
}

async fn run(agent: &Rc<Agent>, requests: &mut Requests, replies: &mut Replies) -> Result<()> {
    let first: Option<ExecRequest> = requests.next().await?;
    let spec = match first.and_then(|request| request.message) {
        Some(Ask::Start(spec)) => spec,
        Some(Ask::Resume(ExecResume { id, next_sequence })) => {
            return kept::resume(agent, id, next_sequence, requests, replies).await;
        }
        _ => return Err(Status::invalid("the first message of Exec is `start`")),
    };
    may_start(agent)?;
    if !spec.id.is_empty() && !spec.detach {
        return kept::start(agent, spec, requests, replies).await;
    }
    let started = tokio::select! {
        biased;
        // Dropped, the start takes its process along.
        () = replies.reset() => return Err(Status::gone()),
        started = start(agent, &spec) => started,
    };
    match started {
        Ok(child) => plain::attend(child, spec.tty, requests, replies).await,
        Err(failure) => send(replies, failed(failure)).await,
    }
}

/// The host knows how it ended, or wants it no more.
pub async fn end(agent: &Rc<Agent>, call: Call) {
    call.unary(|request: EndExecRequest| async move {
        agent.kept.end(&request.id);
        Ok(EndExecResponse {})
    })
    .await;
}
