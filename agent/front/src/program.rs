//! The words of a call that carries a program: what exec and attach have in common.

use bytes::Bytes;
use prost::Message;

use crate::failed::Failed;
use crate::kept::Piece;
use crate::proto::{Output, OutputPosition, Resize, VmStalled};
use crate::refusal::Refusal;

/// What goes to a program.
pub enum Input {
    Stdin(Bytes),
    StdinEof,
    Resize(Resize),
    Signal(String),
}

impl From<Piece> for Input {
    fn from(piece: Piece) -> Self {
        piece.map_or(Self::StdinEof, Self::Stdin)
    }
}

/// What is known at the start of each connection.
pub struct Begun {
    /// It can be gone on with.
    pub resumable: bool,
    pub stdin_next: u64,
    /// Where the output goes on.
    pub place: Option<OutputPosition>,
}

/// What comes of a program.
pub enum Event<E> {
    Begun(Begun),
    Output(Output),
    /// All of stdin below it has arrived.
    Taken(u64),
    Stalled(VmStalled),
    Exit(E),
    /// A word of a newer kilnd, or one that says nothing to us.
    Other,
}

/// The words of a call that carries a program.
pub trait Program {
    const METHOD: &'static str;
    type Ask: Message;
    type Answer: Message + Default;
    type Exit;
    fn start(&self) -> Self::Ask;
    fn resume(&self, place: Option<OutputPosition>) -> Self::Ask;
    /// Says that output has arrived for good; None where nobody waits for it.
    fn ack(place: OutputPosition) -> Option<Self::Ask>;
    /// True where what was never heard of was never started.
    fn is_unknown(refusal: &Refusal) -> bool;
    fn ask(input: Input) -> Self::Ask;
    fn read(answer: Self::Answer) -> Event<Self::Exit>;
}

/// How it ended.
#[derive(Debug)]
pub enum End<E> {
    /// The program did, or could not be started.
    Exit(E),
    /// The call failed.
    Failed(Failed),
    /// It did once the program had begun, which may live on.
    Broken(Failed),
    /// kilnd went away and did not come back.
    Deserted(Failed),
    /// We did: our reader has gone, or the user wants out.
    Left(i32),
}
