//! MountService: what is mounted in a guest that runs already.

use std::rc::Rc;

use crate::agent::Agent;
use crate::grpc::Call;
use crate::grpc::status::{Code, Result, Status};
use crate::proto::{
    AttachMountRequest, AttachMountResponse, DetachMountRequest, DetachMountResponse, GrowMountRequest,
    GrowMountResponse, ListMountsRequest, ListMountsResponse, Phase,
};
use crate::role::Role;

pub const PREFIX: &str = "/kiln.agent.v1.MountService/";

pub async fn dispatch(agent: &Rc<Agent>, name: &str, call: Call) {
    match name {
        "AttachMount" => {
            call.unary(|request: AttachMountRequest| attach(agent.clone(), request))
                .await;
        }
        "DetachMount" => {
            call.unary(|request: DetachMountRequest| detach(agent.clone(), request))
                .await;
        }
        "GrowMount" => {
            call.unary(|request: GrowMountRequest| grow(agent.clone(), request))
                .await
        }
        "ListMounts" => {
            call.unary(|_: ListMountsRequest| async {
                check(agent)?;
                let mounts = agent.mounts.list().await?;
                Ok(ListMountsResponse { mounts })
            })
            .await;
        }
        _ => {
            let status = Status::new(Code::Unimplemented, format!("the agent has no call {name}"));
            call.finish(Err(status)).await;
        }
    }
}

async fn attach(agent: Rc<Agent>, request: AttachMountRequest) -> Result<AttachMountResponse> {
    check(&agent)?;
    let mount = request
        .mount
        .ok_or_else(|| Status::invalid("there is no mount"))?;
    let filled = whole(async move { agent.mounts.attach(mount).await }).await?;
    Ok(AttachMountResponse { filled })
}

async fn detach(agent: Rc<Agent>, request: DetachMountRequest) -> Result<DetachMountResponse> {
    check(&agent)?;
    whole(async move { agent.mounts.detach(&request.id).await }).await?;
    Ok(DetachMountResponse {})
}

async fn grow(agent: Rc<Agent>, request: GrowMountRequest) -> Result<GrowMountResponse> {
    check(&agent)?;
    let size_bytes = whole(async move { agent.mounts.grow(&request.id, request.disk_bytes).await }).await?;
    Ok(GrowMountResponse { size_bytes })
}

/// On a task of its own: a caller that goes away must not leave a mount that nobody remembers.
async fn whole<T: 'static>(work: impl Future<Output = Result<T>> + 'static) -> Result<T> {
    tokio::task::spawn_local(work)
        .await
        .unwrap_or_else(|error| Err(Status::internal(format!("it broke off: {error}"))))
}

fn check(agent: &Agent) -> Result<()> {
    if agent.role() == Role::Host {
        return Err(Status::precondition("the mounts of a host are not the agent's"));
    }
    match agent.phase() {
        Phase::Held | Phase::Running | Phase::Exited => Ok(()),
        Phase::Ending => Err(Status::precondition("the guest is ending")),
        _ => Err(Status::precondition("the guest has not booted yet")),
    }
}
