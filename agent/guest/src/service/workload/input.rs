//! Stdin of a program, by writers with names, so that one whose session broke goes on where it was.

use std::cell::Cell;
use std::rc::Rc;

use super::super::program::check_writer;
use super::find::{Workload, ended};
use crate::agent::Agent;
use crate::grpc::status::{Result, Status};
use crate::grpc::{Call, Replies, Requests};
use crate::proto::write_workload_input_request::Message as Ask;
use crate::proto::{WorkloadInputStart, WriteWorkloadInputRequest, WriteWorkloadInputResponse};
use crate::workload::kept::Kept;
use crate::workload::program::Program;

/// Whose stdin it is.
enum Stdin {
    Main(Rc<Program>),
    Extra(Rc<Kept>),
}

pub async fn write(agent: &Rc<Agent>, mut call: Call) {
    let outcome = take(agent, &mut call.requests, &mut call.replies).await;
    call.finish(outcome).await;
}

async fn take(agent: &Rc<Agent>, requests: &mut Requests, replies: &mut Replies) -> Result<()> {
    let first: Option<WriteWorkloadInputRequest> = requests.next().await?;
    let Some(Ask::Start(WorkloadInputStart { id, writer })) = first.and_then(|first| first.message) else {
        return Err(Status::invalid(
            "the first message of WriteWorkloadInput is `start`",
        ));
    };
    check_writer(&writer)?;
    let stdin = Stdin::find(agent, &id).await?;
    let taken = stdin.writer(&writer);
    let answer = || WriteWorkloadInputResponse { taken: taken.get() };
    replies.send(&answer()).await?;
    while let Some(WriteWorkloadInputRequest { message }) = requests.next().await? {
        let write = async {
            match message {
                Some(Ask::Data(data)) => stdin.write(&data, &taken).await,
                Some(Ask::Eof(true)) => {
                    stdin.end().await?;
                    taken.set(taken.get() + 1);
                    Ok(())
                }
                _ => Ok(()),
            }
        };
        tokio::select! {
            written = write => written?,
            () = stdin.over(agent) => return Err(ended()),
        }
        replies.send(&answer()).await?;
    }
    Ok(())
}

impl Stdin {
    async fn find(agent: &Rc<Agent>, id: &str) -> Result<Self> {
        match Workload::find(agent, id).await? {
            Workload::Main => Ok(Self::Main(agent.program()?)),
            Workload::Failed(_) => Err(ended()),
            Workload::Extra(kept) if !kept.is_alive() => Err(ended()),
            Workload::Extra(kept) if !kept.takes_input() => {
                Err(Status::precondition("the program's stdin is not open"))
            }
            Workload::Extra(kept) => Ok(Self::Extra(kept)),
        }
    }

    fn writer(&self, name: &str) -> Rc<Cell<u64>> {
        match self {
            Self::Main(program) => program.writers.taken(name),
            Self::Extra(kept) => kept.writers.taken(name),
        }
    }

    async fn write(&self, data: &[u8], taken: &Cell<u64>) -> Result<()> {
        match self {
            Self::Main(program) => program.write_counted(data, taken).await,
            Self::Extra(kept) => kept.write_counted(data, taken).await,
        }
    }

    async fn end(&self) -> Result<()> {
        match self {
            Self::Main(program) => program.end_input().await,
            Self::Extra(kept) => kept.end_input().await,
        }
    }

    async fn over(&self, agent: &Agent) {
        match self {
            Self::Main(_) => drop(agent.exit.wait().await),
            Self::Extra(kept) => drop(kept.exited().await),
        }
    }
}
