//! What this process has for a program, and whether that reaches it.

use std::cell::Cell;
use std::future::pending;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::kept::Piece;
use crate::program::Input;

/// Whether the program can be reached, for those who have signals for it.
#[derive(Debug, Default)]
pub struct Reach {
    /// Nothing was heard of it yet.
    pub unheard: Cell<bool>,
    pub away: Cell<bool>,
    pub stalled: Cell<bool>,
}

impl Reach {
    /// kilnd is away, or the VM stands still: what is meant for the program ends this process instead.
    pub fn is_cut_off(&self) -> bool {
        self.away.get() || self.stalled.get()
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
