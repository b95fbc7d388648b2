//! A program's output on its way to the one call that reads it.

use prost::Message;

use crate::grpc::Replies;
use crate::grpc::status::{Code, Result, Status};
use crate::logring::{LogRing, Piece};

/// Everything from `from` on, until the program has ended and said all, or another reader has come.
pub async fn follow<M: Message>(
    log: &LogRing,
    mut from: u64,
    replies: &mut Replies,
    message: impl Fn(Piece) -> M,
) -> Result<()> {
    if from > log.next() {
        let text = format!("the log has not come to {from} yet: it is at {}", log.next());
        return Err(Status::new(Code::OutOfRange, text));
    }
    let claim = log.claim();
    loop {
        let piece = tokio::select! {
            piece = log.read(claim, from) => piece,
            () = replies.reset() => return Err(Status::gone()),
        };
        let Some(piece) = piece else { return Ok(()) };
        from = piece.sequence + piece.data.len() as u64;
        replies.send(&message(piece)).await?;
    }
}
