//! What this process has for a program, and whether that reaches it.

use std::cell::Cell;
use std::future::pending;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::kept::Piece;
use crate::program::Input;

/// By then kilnd has heard of the guest again, or has ended the call.
const IN_DOUBT: Duration = Duration::from_secs(5);

/// Whether the program can be reached, for those who have signals for it.
#[derive(Debug, Default)]
pub struct Reach {
    /// Nothing was heard of it yet.
    pub unheard: Cell<bool>,
    pub away: Cell<bool>,
    pub stalled: Cell<bool>,
    /// The last signal that asked it to end, and when that was sent.
    pub ending: Cell<Option<(libc::c_int, Instant)>>,
}

impl Reach {
    /// kilnd is away, or the VM stands still: what is meant for the program ends this process instead.
    pub fn is_cut_off(&self) -> bool {
        self.away.get() || self.stalled.get()
    }

    /// The signal that asked for the end a moment ago: lost with its connection, for all that is known.
    pub fn doubtful_end(&self) -> Option<libc::c_int> {
        let (number, sent) = self.ending.get()?;
        (sent.elapsed() < IN_DOUBT).then_some(number)
    }
}

/// What this process has for the program.
pub struct Inputs {
    pub notices: mpsc::Receiver<Input>,
    /// None: it gets no stdin.
    pub stdin: Option<mpsc::Receiver<Bytes>>,
}

/// The next piece of stdin, its end once, then nothing any more.
pub async fn next_piece(stdin: &mut Option<mpsc::Receiver<Bytes>>) -> Piece {
    let Some(open) = stdin else { return pending().await };
    let piece = open.recv().await;
    if piece.is_none() {
        *stdin = None;
    }
    piece
}
