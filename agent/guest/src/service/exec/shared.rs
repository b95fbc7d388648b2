//! What every exec is made of: its start, its answers, signals to it.

use std::rc::Rc;

use crate::agent::Agent;
use crate::grpc::Replies;
use crate::grpc::status::{Result, Status};
use crate::machine::cgroup::Cgroup;
use crate::process::io::FdStream;
use crate::process::plan::StartFailure;
use crate::process::spawn::Child;
use crate::process::stdio;
use crate::proto::exec_response::Message as Answer;
use crate::proto::{ExecResponse, ExitStatus, ProcessSpec, WindowSize};
use crate::role::Role;
use crate::workload::beside;

pub async fn start(agent: &Rc<Agent>, spec: &ProcessSpec) -> std::result::Result<Child, StartFailure> {
    let cgroup = (agent.role() == Role::Init).then_some(Cgroup::Exec);
    beside::start(spec, cgroup.as_ref(), &agent.reaper).await
}

pub async fn send(replies: &mut Replies, answer: Answer) -> Result<()> {
    replies
        .send(&ExecResponse {
            message: Some(answer),
        })
        .await
}

/// A program that was not started has ended all the same.
pub fn failed(StartFailure { code, text }: StartFailure) -> Answer {
    Answer::Exit(ExitStatus {
        code,
        error: text,
        ..Default::default()
    })
}

/// Refused where nothing can be started beside the main program: not yet, or no more.
pub fn may_start(agent: &Agent) -> Result<()> {
    if agent.role() != Role::Host && agent.program().is_err() {
        return Err(Status::precondition(
            "the guest has no root yet: nothing can be started in it",
        ));
    }
    if agent.exit.get().is_some() {
        return Err(Status::precondition(
            "the program has ended, and the guest with it",
        ));
    }
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

/// Nothing where it has no terminal.
pub fn resize(terminal: Option<&FdStream>, window: WindowSize) -> Result<()> {
    match terminal {
        Some(terminal) => {
            stdio::resize(terminal, window).map_err(|error| Status::from_io("resize the terminal", error))
        }
        None => Ok(()),
    }
}
