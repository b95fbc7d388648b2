//! `kiln exec`: one call that carries the program from its start to its end. As `src/cli/verbs/exec.ts`.

use crate::call::Connection;
use crate::names;
use crate::outage::Way;
use crate::outcome::Outcome;
use crate::program::{Begun, End, Event, Input, Program};
use crate::proto::exec_request::Message as Ask;
use crate::proto::exec_response::Message as Answer;
use crate::proto::{ExecExit, ExecRequest, ExecResponse, ExecResume, ExecStart, OutputPosition};
use crate::refusal::Refusal;
use crate::session::{self, Wiring};
use crate::signals::Signals;
use crate::terminal;

impl Program for ExecStart {
    const METHOD: &'static str = "VmService/Exec";
    type Ask = ExecRequest;
    type Answer = ExecResponse;
    type Exit = ExecExit;

    fn start(&self) -> ExecRequest {
        message(Ask::Start(self.clone()))
    }

    fn resume(&self, place: Option<OutputPosition>) -> ExecRequest {
        message(Ask::Resume(ExecResume {
            vm: self.vm.clone(),
            id: self.id.clone(),
            next_sequence: place.map_or(0, |place| place.sequence),
        }))
    }

    fn ack(place: OutputPosition) -> Option<ExecRequest> {
        Some(message(Ask::Ack(place.sequence)))
    }

    fn is_unknown(refusal: &Refusal) -> bool {
        refusal.reason == "exec-not-found"
    }

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
            Some(Answer::Started(started)) => Event::Begun(Begun {
                resumable: started.resumable,
                stdin_next: started.stdin_next,
                place: None,
            }),
            Some(Answer::Output(output)) => Event::Output(output),
            Some(Answer::StdinTaken(taken)) => Event::Taken(taken),
            Some(Answer::Stalled(stalled)) => Event::Stalled(stalled),
            Some(Answer::Exit(exit)) => Event::Exit(exit),
            None => Event::Other,
        }
    }
}

fn message(ask: Ask) -> ExecRequest {
    ExecRequest { message: Some(ask) }
}

/// To its end, however it ends.
pub async fn exec(connection: &Connection, way: Way<'_>, signals: Signals, mut start: ExecStart) -> Outcome {
    start.id = names::unguessable();
    let config = start.config.get_or_insert_default();
    let wiring = Wiring {
        tty: config.tty,
        stdin: config.stdin,
        early: true,
    };
    if let Some(size) = terminal::size().filter(|_| wiring.tty) {
        (config.columns, config.rows) = (size.columns, size.rows);
    }
    match session::run(connection, way, signals, &start, wiring).await {
        End::Exit(ExecExit { code, error }) => Outcome::Exit { code, note: error },
        End::Failed(failed) | End::Broken(failed) => Outcome::failed(ExecStart::METHOD, failed, None),
        End::Deserted(failed) => Outcome::deserted(ExecStart::METHOD, failed),
        End::Left(code) => Outcome::exit(code),
    }
}
