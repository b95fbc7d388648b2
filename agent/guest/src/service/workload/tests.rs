//! What needs no process: a real program is started by test/contract/agent-workloads.

use tokio::task::LocalSet;

use super::*;
use crate::proto::{ProcessSpec, StartWorkloadRequest};
use crate::role::Role;

const ID: &str = "0123456789abcdef";

/// Nobody can be this user: the start fails before it forks.
fn nobodys(id: &str) -> StartWorkloadRequest {
    let process = ProcessSpec {
        args: vec!["true".to_owned()],
        user: "no-such-user-anywhere".to_owned(),
        ..Default::default()
    };
    StartWorkloadRequest {
        id: id.to_owned(),
        process: Some(process),
        log_buffer_bytes: 0,
    }
}

fn of(id: &str) -> WaitWorkloadRequest {
    WaitWorkloadRequest { id: id.to_owned() }
}

#[tokio::test]
async fn a_start_that_failed_is_known_until_it_is_forgotten() {
    LocalSet::new()
        .run_until(async {
            let agent = Agent::new(Role::Host);
            for _ in 0..2 {
                assert_eq!(start::start(&agent, nobodys(ID)).await.unwrap().pid, 0);
            }
            let exit = wait(&agent, of(ID)).await.unwrap().exit.unwrap();
            assert_eq!(exit.code, 126);
            assert!(exit.error.contains("no-such-user-anywhere"), "{}", exit.error);
            let [only] = list(&agent).workloads.try_into().unwrap();
            assert_eq!(
                (only.id.as_str(), only.kind(), only.exit),
                (ID, WorkloadKind::Extra, Some(exit))
            );
            let signal = SignalWorkloadRequest {
                id: ID.to_owned(),
                signal: 15,
            };
            let refused = super::signal(&agent, signal).await.unwrap_err();
            assert_eq!(refused.code, Code::FailedPrecondition);
            for _ in 0..2 {
                forget(&agent, ID).unwrap();
            }
            assert_eq!(wait(&agent, of(ID)).await.unwrap_err().code, Code::NotFound);
            assert!(list(&agent).workloads.is_empty());
        })
        .await;
}

#[tokio::test]
async fn ids_and_their_number_are_bounded() {
    LocalSet::new()
        .run_until(async {
            let agent = Agent::new(Role::Host);
            for id in [
                "short",
                "../../../../../etc",
                "not-hex-not-hex-not-hex",
                "abcdef",
                &"a".repeat(65),
                MAIN,
            ] {
                let refused = start::start(&agent, nobodys(id)).await.unwrap_err();
                assert_eq!(refused.code, Code::InvalidArgument, "{id}");
            }
            for number in 0..64 {
                start::start(&agent, nobodys(&format!("{number:016x}")))
                    .await
                    .unwrap();
            }
            let refused = start::start(&agent, nobodys(&"f".repeat(16))).await.unwrap_err();
            assert_eq!(refused.code, Code::ResourceExhausted);
            assert_eq!(list(&agent).workloads.len(), 64);
        })
        .await;
}

#[tokio::test]
async fn main_is_the_program_and_nothing_else() {
    LocalSet::new()
        .run_until(async {
            let agent = Agent::new(Role::Host);
            agent.log.append(crate::proto::Stream::Stdout, 0, b"hello");
            agent.end_with(7, String::new());
            let answer = wait(&agent, of(MAIN)).await.unwrap();
            assert_eq!((answer.exit.unwrap().code, answer.next_sequence), (7, 5));
            let upto = AckWorkloadLogsRequest {
                id: MAIN.to_owned(),
                next_sequence: 5,
            };
            acknowledge_logs(&agent, upto).await.unwrap();
            assert_eq!(agent.log.first(), 5);
            assert_eq!(forget(&agent, MAIN).unwrap_err().code, Code::InvalidArgument);
            let late = start::start(&agent, nobodys(ID)).await.unwrap_err();
            assert_eq!(late.code, Code::FailedPrecondition);
        })
        .await;
}
