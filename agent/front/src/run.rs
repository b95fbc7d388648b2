//! `kiln run`: makes a VM of what is ready, then carries its program. As `src/cli/verbs/run.ts`.

use std::io;

use prost::Message;

use crate::call::Connection;
use crate::failed::Failed;
use crate::names;
use crate::outage::Way;
use crate::outcome::{Outcome, Words};
use crate::program::{Begun, End, Event, Input, Program};
use crate::proto::attach_request::Message as Ask;
use crate::proto::attach_response::Message as Answer;
use crate::proto::create_vm_response::Message as Made;
use crate::proto::{
    AttachExit, AttachRequest, AttachResponse, AttachResume, AttachStart, CreateVmRequest, CreateVmResponse,
    OutputPosition, Vm, VmState,
};
use crate::refusal::Refusal;
use crate::session::{self, Wiring};
use crate::signals::Signals;

const CREATE: &str = "VmService/CreateVm";
/// A shell's codes for a program that is not executable, or not there: the VM's status may say more.
const NOT_STARTED: [i32; 2] = [126, 127];

impl Program for AttachStart {
    const METHOD: &'static str = "VmService/Attach";
    type Ask = AttachRequest;
    type Answer = AttachResponse;
    type Exit = AttachExit;

    fn start(&self) -> AttachRequest {
        message(Ask::Start(self.clone()))
    }

    fn resume(&self, place: Option<OutputPosition>) -> AttachRequest {
        message(Ask::Resume(AttachResume {
            vm: self.vm.clone(),
            id: self.id.clone(),
            stdin: self.stdin,
            after: place,
            start: self.start,
        }))
    }

    fn ack(_: OutputPosition) -> Option<AttachRequest> {
        None
    }

    fn is_unknown(_: &Refusal) -> bool {
        false
    }

    fn ask(input: Input) -> AttachRequest {
        message(match input {
            Input::Stdin(data) => Ask::Stdin(data),
            Input::StdinEof => Ask::StdinEof(true),
            Input::Resize(size) => Ask::Resize(size),
            Input::Signal(name) => Ask::Signal(name),
        })
    }

    fn read(answer: AttachResponse) -> Event<AttachExit> {
        match answer.message {
            Some(Answer::Resumable(place)) => Event::Begun(Begun {
                resumable: true,
                stdin_next: place.stdin_next,
                place: place.next,
            }),
            Some(Answer::Output(output)) => Event::Output(output),
            Some(Answer::StdinTaken(taken)) => Event::Taken(taken),
            Some(Answer::Stalled(stalled)) => Event::Stalled(stalled),
            Some(Answer::Exit(exit)) => Event::Exit(exit),
            Some(Answer::Attached(_) | Answer::Starting(_)) | None => Event::Other,
        }
    }
}

fn message(ask: Ask) -> AttachRequest {
    AttachRequest { message: Some(ask) }
}

/// To its end, however it ends. `signals` are listened to once there is a program to have them: before, they end us.
pub async fn run(
    connection: &Connection,
    way: Way<'_>,
    signals: impl FnOnce() -> io::Result<Signals>,
    request: &CreateVmRequest,
) -> Outcome {
    let vm = match create(connection, request).await {
        Ok(vm) => vm,
        // Whatever kilnd refuses it has not done; that nothing is ready is one such refusal.
        Err(failed) if failed.is_refusal() => return Outcome::HandOver,
        Err(failed) => return Outcome::failed(CREATE, connection.judge(failed), None),
    };
    let config = request.config.as_ref();
    let [stdin, remove] = [
        config.is_some_and(|config| config.open_stdin),
        config.is_some_and(|config| config.auto_remove),
    ];
    let start = AttachStart {
        vm: vm.id.clone(),
        stdin,
        start: true,
        id: names::unguessable(),
        ..Default::default()
    };
    let end = match signals() {
        Ok(signals) => {
            // A VM that is starting would be left behind.
            let wiring = Wiring {
                tty: false,
                stdin,
                early: false,
            };
            session::run(connection, way, signals, &start, wiring).await
        }
        Err(_) => End::Failed(Failed::lost()),
    };
    match end {
        End::Exit(exit) => ended(vm.name, &exit),
        // What could not even start is not left behind.
        End::Failed(failed) => Outcome::failed(AttachStart::METHOD, failed, remove.then_some(vm.id)),
        End::Broken(failed) => Outcome::failed(AttachStart::METHOD, failed, None),
        End::Deserted(failed) => Outcome::deserted(AttachStart::METHOD, failed),
        End::Left(code) => Outcome::exit(code),
    }
}

/// The VM that was made. A refusal after kilnd has named one is taken for a loss: it is there.
async fn create(connection: &Connection, request: &CreateVmRequest) -> Result<Vm, Failed> {
    let (mut requests, mut answers) = connection.call(CREATE).await?;
    // Where it fails, the answers say why.
    if requests.send(request).await.is_ok() {
        let _ = requests.finish();
    }
    let mut made = None;
    loop {
        match (answers.next().await, made) {
            (Ok(CreateVmResponse { message }), before) => {
                made = message.map(|Made::Vm(vm)| vm).or(before);
            }
            (Err(failed), Some(vm)) if failed.is_completion() => return Ok(vm),
            (Err(failed), Some(_)) if failed.is_refusal() => return Err(Failed::lost()),
            (Err(failed), _) => return Err(failed),
        }
    }
}

/// The program's code, where there is nothing to say about it: `src/cli/program-end.ts` has the words.
fn ended(name: String, exit: &AttachExit) -> Outcome {
    let plain = exit.status.as_ref().is_some_and(|status| {
        status.state() == VmState::Exited
            && !status.oom_killed
            && (status.message.is_empty() || !NOT_STARTED.contains(&exit.code))
    });
    if plain {
        return Outcome::exit(exit.code);
    }
    Outcome::Tell(Words {
        verb: vec!["__run-ended".to_owned(), name],
        body: exit.encode_to_vec().into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::VmStatus;

    fn exit(code: i32, state: VmState, message: &str, oom_killed: bool) -> AttachExit {
        let status = VmStatus {
            state: state.into(),
            message: message.to_owned(),
            oom_killed,
            ..Default::default()
        };
        AttachExit {
            code,
            status: Some(status),
        }
    }

    #[test]
    fn ends_by_itself_only_where_there_is_nothing_to_say() {
        let plain = [
            exit(0, VmState::Exited, "", false),
            exit(127, VmState::Exited, "", false),
            exit(137, VmState::Exited, "the VM was killed", false),
        ];
        for exit in plain {
            assert_eq!(ended("urn".into(), &exit), Outcome::exit(exit.code), "{exit:?}");
        }
        let told = [
            exit(0, VmState::Failed, "", false),
            exit(126, VmState::Exited, "why", false),
            exit(137, VmState::Exited, "", true),
            exit(0, VmState::Running, "", false),
            AttachExit {
                code: 3,
                status: None,
            },
        ];
        for exit in told {
            let Outcome::Tell(words) = ended("urn".into(), &exit) else {
                panic!("{exit:?} has words");
            };
            assert_eq!(words.verb, ["__run-ended", "urn"]);
            assert_eq!(AttachExit::decode(words.body).as_ref(), Ok(&exit));
        }
    }
}
