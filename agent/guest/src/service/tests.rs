//! Over real HTTP/2, with the host's side in hand: what only shows on the wire.

use bytes::Bytes;
use http::Request;
use prost::Message;
use tokio::task::LocalSet;

use super::*;
use crate::proto::{
    AckLogsRequest, DialRequest, DialStart, InputRequest, ListDirectoryRequest, LogsRequest,
    ReadArchiveRequest, SignalRequest, StatPathRequest, StateRequest, StdinRequest, StopRequest,
    WatchPathRequest, dial_request,
};
use crate::role::Role;

type Hosts = h2::client::SendRequest<Bytes>;

fn framed(message: &impl Message) -> Bytes {
    let mut bytes = vec![0];
    bytes.extend((message.encoded_len() as u32).to_be_bytes());
    bytes.extend(message.encode_to_vec());
    bytes.into()
}

/// Speaks to an agent that is an ordinary process here.
async fn with_session<F: Future<Output = ()>>(body: impl FnOnce(Hosts, h2::PingPong) -> F) {
    LocalSet::new()
        .run_until(async {
            let (ours, theirs) = tokio::io::duplex(1 << 20);
            tokio::task::spawn_local(async move { serve(theirs, &Agent::new(Role::Host)).await });
            let (host, mut connection) = h2::client::handshake(ours).await.unwrap();
            let pings = connection.ping_pong().unwrap();
            tokio::task::spawn_local(connection);
            body(host, pings).await;
        })
        .await;
}

/// Asks without ending the request, reads the whole answer, and only then ends it. Gives the status; whether the stream
/// was reset meanwhile.
async fn asked_slowly(
    host: &mut Hosts,
    pings: &mut h2::PingPong,
    name: &str,
    message: Bytes,
) -> (String, bool) {
    let request = Request::post(format!("http://agent{PREFIX}{name}"))
        .header("content-type", "application/grpc")
        .body(())
        .unwrap();
    let (response, mut asking) = host.send_request(request, false).unwrap();
    asking.send_data(message, false).unwrap();
    let mut answer = response.await.unwrap().into_body();
    while let Some(data) = answer.data().await {
        let _ = answer.flow_control().release_capacity(data.unwrap().len());
    }
    let trailers = answer.trailers().await.unwrap().unwrap();
    let status = trailers["grpc-status"].to_str().unwrap().to_owned();
    // What the agent sends beside its answer is here before its pong.
    pings.ping(h2::Ping::opaque()).await.unwrap();
    let reset = std::future::poll_fn(|cx| std::task::Poll::Ready(asking.poll_reset(cx).is_ready())).await;
    let _ = asking.send_data(Bytes::new(), true);
    (status, reset)
}

#[tokio::test]
async fn no_answer_resets_a_request_whose_end_is_still_under_way() {
    let dial = DialRequest {
        message: Some(dial_request::Message::Start(DialStart {
            network: "sctp".into(),
            ..Default::default()
        })),
    };
    let nowhere = "/nowhere/at/all".to_owned();
    let read = ReadArchiveRequest {
        path: nowhere.clone(),
        ..Default::default()
    };
    let stat = StatPathRequest {
        path: nowhere,
        ..Default::default()
    };
    let ahead = LogsRequest { from_sequence: 9 };
    // Answered, refused, unknown; of one message and of many.
    let calls = [
        ("State", framed(&StateRequest {}), Some("0")),
        ("AckLogs", framed(&AckLogsRequest::default()), Some("0")),
        ("Signal", framed(&SignalRequest { signal: 15 }), None),
        ("Stop", framed(&StopRequest::default()), None),
        ("StatPath", framed(&stat), Some("5")),
        ("ReadArchive", framed(&read), Some("5")),
        (
            "ListDirectory",
            framed(&ListDirectoryRequest::default()),
            Some("3"),
        ),
        ("WatchPath", framed(&WatchPathRequest::default()), Some("3")),
        ("Logs", framed(&ahead), Some("11")),
        ("Stdin", framed(&StdinRequest::default()), None),
        ("Input", framed(&InputRequest::default()), Some("3")),
        ("Dial", framed(&dial), Some("3")),
        ("Nonsense", framed(&StateRequest {}), Some("12")),
    ];
    with_session(|mut host, mut pings| async move {
        for (name, message, wanted) in calls {
            let (status, reset) = asked_slowly(&mut host, &mut pings, name, message).await;
            assert!(!reset, "{name} was reset beside its answer");
            assert_eq!(wanted.unwrap_or(&status), status, "{name}");
        }
    })
    .await;
}
