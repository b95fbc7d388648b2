//! From an id to the program that it names.

use std::rc::Rc;

use crate::agent::Agent;
use crate::grpc::status::{Result, Status};
use crate::logring::LogRing;
use crate::process::plan::StartFailure;
use crate::proto::ExitStatus;
use crate::workload::kept::Kept;

pub const MAIN: &str = "main";

/// What an id names.
pub enum Workload {
    Main,
    Extra(Rc<Kept>),
    /// An extra program that could not be started.
    Failed(ExitStatus),
}

impl Workload {
    pub async fn find(agent: &Agent, id: &str) -> Result<Self> {
        if id == MAIN {
            return Ok(Self::Main);
        }
        Ok(match agent.extras.find(id)?.outcome().await {
            Ok(kept) => Self::Extra(kept),
            Err(failure) => Self::Failed(exit_of(failure)),
        })
    }

    /// None where nothing was ever written.
    pub fn log<'a>(&'a self, agent: &'a Agent) -> Option<&'a LogRing> {
        match self {
            Self::Main => Some(&agent.log),
            Self::Extra(kept) => Some(&kept.log),
            Self::Failed(_) => None,
        }
    }
}

pub fn exit_of(StartFailure { code, text }: StartFailure) -> ExitStatus {
    ExitStatus {
        code,
        error: text,
        ..Default::default()
    }
}

pub fn ended() -> Status {
    Status::precondition("the program has ended")
}
