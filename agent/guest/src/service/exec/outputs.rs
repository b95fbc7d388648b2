//! What a process writes, on its way to the call that attends to it: both streams in turn.

use std::rc::Rc;

use bytes::Bytes;

use crate::logring::MAX_PIECE;
use crate::process::afterglow::Afterglow;
use crate::process::io::FdStream;
use crate::proto::Stream;

struct Output {
    stream: Stream,
    /// None at its end.
    source: Option<Rc<FdStream>>,
    /// Once the process has ended.
    afterglow: Option<Afterglow>,
    buffer: Vec<u8>,
}

impl Output {
    fn new(stream: Stream, source: Rc<FdStream>) -> Self {
        Self {
            stream,
            source: Some(source),
            afterglow: None,
            buffer: Vec::new(),
        }
    }

    /// Nothing at its end.
    async fn next(&mut self) -> Bytes {
        let Some(source) = &self.source else {
            return std::future::pending().await;
        };
        if self.buffer.is_empty() {
            self.buffer.resize(MAX_PIECE, 0);
        }
        let count = match &mut self.afterglow {
            Some(glow) => glow.read(source, &mut self.buffer).await,
            None => source.read(&mut self.buffer).await.unwrap_or(0),
        };
        if count == 0 {
            self.source = None;
        }
        Bytes::copy_from_slice(&self.buffer[..count])
    }
}

pub struct Outputs {
    outputs: Vec<Output>,
    turn: usize,
}

impl Outputs {
    pub fn new(sources: Vec<(Stream, Rc<FdStream>)>) -> Self {
        let outputs = sources
            .into_iter()
            .map(|(stream, source)| Output::new(stream, source));
        Self {
            outputs: outputs.collect(),
            turn: 0,
        }
    }

    /// True while either may say more.
    pub fn open(&self) -> bool {
        self.outputs.iter().any(|output| output.source.is_some())
    }

    /// The process has ended: what still counts is bounded from now on.
    pub fn begin_afterglow(&mut self) {
        for output in &mut self.outputs {
            output.afterglow = output.source.as_deref().map(Afterglow::begin);
        }
    }

    /// The next piece of either stream, in turn; None where one of them has come to its end.
    pub async fn next(&mut self) -> Option<(Stream, Bytes)> {
        self.turn ^= 1;
        let (first, second) = match self.outputs.as_mut_slice() {
            [only] => (only, None),
            [one, two] if self.turn == 0 => (one, Some(two)),
            [one, two] => (two, Some(one)),
            _ => return None,
        };
        let (stream, data) = match second {
            None => (first.stream, first.next().await),
            Some(second) => tokio::select! {
                biased;
                data = first.next() => (first.stream, data),
                data = second.next() => (second.stream, data),
            },
        };
        (!data.is_empty()).then_some((stream, data))
    }
}
