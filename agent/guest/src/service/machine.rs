//! Calls about the machine: its boot, its end, its network and clock.

use std::rc::Rc;
use std::time::Duration;

use crate::agent::Agent;
use crate::aside::SYNCS;
use crate::clock;
use crate::grpc::Call;
use crate::grpc::status::{Result, Status};
use crate::machine::{boot as booting, cards, end, net};
use crate::proto::{
    AckExitRequest, AckExitResponse, BootRequest, BootResponse, ConfigureNetworkRequest,
    ConfigureNetworkResponse, Phase, SetClockRequest, SetClockResponse, SetNamesRequest, SetNamesResponse,
    StartProgramRequest, StateRequest, SyncRequest, SyncResponse,
};
use crate::role::Role;
use crate::workload::program::kill_the_rest;

/// Between the last answer and the end of the machine: for the answer to leave it.
const FAREWELL: Duration = Duration::from_millis(20);

pub async fn state(agent: &Rc<Agent>, call: Call) {
    call.unary(|_: StateRequest| async { Ok(agent.state()) }).await;
}

pub async fn boot(agent: &Rc<Agent>, call: Call) {
    call.unary(|request: BootRequest| {
        let agent = agent.clone();
        detached(async move { booting::boot(&agent, request).await })
    })
    .await;
}

pub async fn start_program(agent: &Rc<Agent>, call: Call) {
    call.unary(|_: StartProgramRequest| {
        let agent = agent.clone();
        detached(async move { booting::start_program(&agent).await })
    })
    .await;
}

/// Boots on a task of its own: a host that goes away in the middle must not leave half a root.
async fn detached(boot: impl Future<Output = Result<BootResponse>> + 'static) -> Result<BootResponse> {
    tokio::task::spawn_local(boot)
        .await
        .unwrap_or_else(|error| Err(Status::internal(format!("the boot broke off: {error}"))))
}

pub async fn acknowledge_exit(agent: &Rc<Agent>, call: Call) {
    call.unary(|_: AckExitRequest| end_machine(agent)).await;
}

/// The host has what it needs: settle the disks, answer, end.
async fn end_machine(agent: &Rc<Agent>) -> Result<AckExitResponse> {
    if agent.exit.get().is_none() {
        return Err(Status::precondition("the program has not ended"));
    }
    agent.set_phase(Phase::Ending);
    if agent.role() == Role::Init {
        kill_the_rest(agent.role(), &agent.reaper, 0).await;
    }
    if agent.role() != Role::Host {
        end::settle_disks(agent).await;
    }
    let agent = agent.clone();
    tokio::task::spawn_local(async move {
        tokio::time::sleep(FAREWELL).await;
        end::end_machine(&agent);
    });
    Ok(AckExitResponse {})
}

pub async fn configure_network(agent: &Rc<Agent>, call: Call) {
    call.unary(|request: ConfigureNetworkRequest| async move { configure(agent, &request).await })
        .await;
}

async fn configure(agent: &Agent, request: &ConfigureNetworkRequest) -> Result<ConfigureNetworkResponse> {
    if agent.role() == Role::Host {
        return Err(Status::precondition("the network of a host is not the agent's"));
    }
    if agent.phase() == Phase::Waiting {
        return Err(Status::precondition("the guest has not booted yet"));
    }
    for mac in &request.gone {
        cards::give_up(mac)?;
    }
    if let Some(network) = &request.network {
        cards::wait_for(network, Duration::from_millis(request.patience_ms.into())).await?;
        net::configure(network)?;
    }
    if let Some(dns) = &request.dns {
        agent.placed.borrow_mut().change_dns(dns)?;
    }
    if let Some(moved) = &request.moved {
        agent.placed.borrow().move_own(moved)?;
    }
    Ok(ConfigureNetworkResponse {})
}

pub async fn set_names(agent: &Rc<Agent>, call: Call) {
    call.unary(|request: SetNamesRequest| async move {
        if agent.role() == Role::Host {
            return Err(Status::precondition("the names of a host are not the agent's"));
        }
        agent.placed.borrow().change_names(&request.names)?;
        Ok(SetNamesResponse {})
    })
    .await;
}

pub async fn set_clock(agent: &Rc<Agent>, call: Call) {
    call.unary(|request: SetClockRequest| async move { step_clock(agent, &request) })
        .await;
}

fn step_clock(agent: &Agent, request: &SetClockRequest) -> Result<SetClockResponse> {
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
pub async fn sync(call: Call) {
    let settle = || {
        rustix::fs::sync();
        Ok(SyncResponse {})
    };
    call.unary(|_: SyncRequest| SYNCS.run(settle)).await;
}
