//! The start of a program beside the main one.

use std::rc::Rc;

use super::super::exec::shared::may_start;
use crate::agent::Agent;
use crate::grpc::status::{Result, Status};
use crate::machine::cgroup::{self, Cgroup};
use crate::proto::{ProcessSpec, StartWorkloadRequest, StartWorkloadResponse};
use crate::role::Role;
use crate::workload::beside;
use crate::workload::kept::{CAPACITY, Kept, Terms};
use crate::workload::slots::Outcome;

const MOST_CAPACITY: usize = 8 << 20;

pub async fn start(agent: &Rc<Agent>, request: StartWorkloadRequest) -> Result<StartWorkloadResponse> {
    let id = request.id;
    // It becomes the name of a directory.
    if !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Status::invalid("the id of a workload is made of hex digits"));
    }
    if !agent.extras.knows(&id) {
        may_start(agent)?;
    }
    let spec = request.process.ok_or_else(|| Status::invalid("no process"))?;
    let (slot, new) = agent.extras.take(&id)?;
    if new {
        let asked = usize::try_from(request.log_buffer_bytes).unwrap_or(MOST_CAPACITY);
        let capacity = if asked == 0 {
            CAPACITY
        } else {
            asked.min(MOST_CAPACITY)
        };
        let (agent, slot) = (agent.clone(), slot.clone());
        // On a task of its own: a host that goes away in the middle must not leave half a start.
        tokio::task::spawn_local(async move {
            slot.settle(adopted(&agent, &id, spec, capacity)).await;
        });
    }
    let pid = slot.outcome().await.map_or(0, |kept| kept.pid);
    Ok(StartWorkloadResponse { pid })
}

async fn adopted(agent: &Rc<Agent>, id: &str, spec: ProcessSpec, capacity: usize) -> Outcome {
    let spec = ProcessSpec {
        detach: false,
        ..spec
    };
    let mut group = None;
    if agent.role() == Role::Init {
        cgroup::sweep(|id| agent.extras.knows(id));
        group = Cgroup::of_extra(id);
    }
    let child = match beside::start(&spec, group.as_ref(), &agent.reaper).await {
        Ok(child) => child,
        Err(failure) => {
            group.iter().for_each(Cgroup::remove);
            return Err(failure);
        }
    };
    let terms = Terms {
        capacity,
        group,
        lasting: true,
    };
    Ok(Kept::adopt(child, spec.tty, terms))
}
