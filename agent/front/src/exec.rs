//! `kiln exec`: one call that carries the program from its start to its end. As `src/cli/verbs/exec.ts`.

use crate::call::Connection;
use crate::outcome::Outcome;
use crate::proto::exec_request::Message as Ask;
use crate::proto::exec_response::Message as Answer;
use crate::proto::{ExecExit, ExecRequest, ExecResponse, ExecStart};
use crate::session::{self, End, Event, Input, Program, Wiring};
use crate::signals::Signals;
use crate::terminal;

struct Exec;

impl Program for Exec {
    const METHOD: &'static str = "VmService/Exec";
    type Ask = ExecRequest;
    type Answer = ExecResponse;
    type Exit = ExecExit;

    fn ask(input: Input) -> ExecRequest {
        message(match input {
            Input::Stdin(data) => Ask::Stdin(data),
            Input::StdinEof => Ask::StdinEof(true),
            Input::Resize(size) => Ask::Resize(size),
            Input::Signal(name) => Ask::Signal(name),
        })
    }

    fn read(answer: ExecResponse) -> Event<ExecExit> {
        match answer.message {
            Some(Answer::Output(output)) => Event::Output(output),
            Some(Answer::Exit(exit)) => Event::Exit(exit),
            _ => Event::Other,
        }
    }
}

fn message(ask: Ask) -> ExecRequest {
    ExecRequest { message: Some(ask) }
}

/// To its end, however it ends.
pub async fn exec(connection: &Connection, signals: Signals, mut start: ExecStart) -> Outcome {
    let config = start.config.get_or_insert_default();
    let wiring = Wiring {
        tty: config.tty,
        stdin: config.stdin,
    };
    if let Some(size) = terminal::size().filter(|_| wiring.tty) {
        (config.columns, config.rows) = (size.columns, size.rows);
    }
    match session::run::<Exec>(connection, signals, message(Ask::Start(start)), wiring).await {
        End::Exit(ExecExit { code, error }) => Outcome::Exit { code, note: error },
        End::Failed(failed) => Outcome::failed(Exec::METHOD, failed, None),
        End::Left(code) => Outcome::exit(code),
    }
}
