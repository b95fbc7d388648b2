//! WatchPath: a thread that reads inotify, a call that tells the host.

use std::os::fd::OwnedFd;

use tokio::sync::mpsc;

use super::files::absolute;
use crate::aside::WATCHES;
use crate::grpc::status::{Result, Status};
use crate::grpc::{Call, Replies, Requests};
use crate::proto::{WatchPathRequest, WatchPathResponse};
use crate::watch::Watcher;

const QUEUE: usize = 4;

pub async fn watch(mut call: Call) {
    let outcome = run(&mut call.requests, &mut call.replies).await;
    call.finish(outcome).await;
}

async fn run(requests: &mut Requests, replies: &mut Replies) -> Result<()> {
    let request: WatchPathRequest = requests
        .next()
        .await?
        .ok_or_else(|| Status::invalid("the request holds no message"))?;
    let path = absolute(&request.path)?;
    // What is dropped here at the end of the call wakes the thread.
    let (leave, _stay): (OwnedFd, OwnedFd) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(|error| Status::from_io("watch", error))?;
    let (sender, mut receiver) = mpsc::channel(QUEUE);
    let watching = WATCHES.begin(move || {
        let watched = Watcher::open(&path, request.recursive).and_then(|mut watcher| {
            let tell = |message| sender.blocking_send(message).is_ok();
            if tell(WatchPathResponse {
                ready: true,
                events: Vec::new(),
            }) {
                watcher.run(&leave, |events| tell(WatchPathResponse { ready: false, events }))
            } else {
                Ok(())
            }
        });
        watched.map_err(|error| Status::from_io(format_args!("watch {}", path.display()), error))
    })?;
    loop {
        let message = tokio::select! {
            message = receiver.recv() => message,
            () = replies.reset() => return Err(Status::gone()),
        };
        let Some(message) = message else { break };
        replies.send(&message).await?;
    }
    watching.await
}
