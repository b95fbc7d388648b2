//! Input: the main program's stdin by writers with names, so that one whose session broke goes on where it was.

use std::rc::Rc;

use crate::agent::Agent;
use crate::grpc::status::{Result, Status};
use crate::grpc::{Call, Replies, Requests};
use crate::proto::input_request::Message as Ask;
use crate::proto::{InputRequest, InputResponse, InputStart};

const MAX_NAME: usize = 64;

pub async fn input(agent: &Rc<Agent>, mut call: Call) {
    let outcome = run(agent, &mut call.requests, &mut call.replies).await;
    call.finish(outcome).await;
}

async fn run(agent: &Rc<Agent>, requests: &mut Requests, replies: &mut Replies) -> Result<()> {
    let first: Option<InputRequest> = requests.next().await?;
    let Some(Ask::Start(InputStart { writer })) = first.and_then(|request| request.message) else {
        return Err(Status::invalid("the first message of Input is `start`"));
    };
    if writer.is_empty() || writer.len() > MAX_NAME {
        return Err(Status::invalid("a writer has a name of at most 64 bytes"));
    }
    let program = agent
        .program()
        .ok_or_else(|| Status::precondition("no program runs"))?;
    let taken = program.writer(&writer);
    replies.send(&InputResponse { taken: taken.get() }).await?;
    while let Some(InputRequest { message }) = requests.next().await? {
        let write = async {
            match message {
                Some(Ask::Data(data)) => program.write_counted(&data, &taken).await,
                Some(Ask::Eof(true)) => {
                    program.end_input().await?;
                    taken.set(taken.get() + 1);
                    Ok(())
                }
                _ => Ok(()),
            }
        };
        tokio::select! {
            written = write => written?,
            _ = agent.exited() => return Err(Status::precondition("the program has ended")),
        }
        replies.send(&InputResponse { taken: taken.get() }).await?;
    }
    Ok(())
}
