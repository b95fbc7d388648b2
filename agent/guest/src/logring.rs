//! Output of the main program, kept until the host has stored it: numbered bytes, bounded.
//!
//! Pure but for the wake-ups. Sequence numbers count bytes over both streams; a reader that asks from where it last
//! acknowledged sees neither gap nor repeat, however many hosts come and go.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use bytes::Bytes;
use tokio::sync::Notify;

use crate::proto::Stream;

/// No piece is larger: the wire's limit on one message.
pub const MAX_PIECE: usize = 64 << 10;
pub const DEFAULT_CAPACITY: usize = 1 << 20;
/// Small writes close in time become one piece, so that a program that writes byte by byte costs bytes, not pieces.
const MERGE_BELOW: usize = 4 << 10;
const MERGE_WITHIN_NS: i64 = 2_000_000;
/// Beyond this many pieces, time no longer keeps them apart.
const MANY: usize = 8192;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub sequence: u64,
    pub stream: Stream,
    pub time_ns: i64,
    pub data: Bytes,
}

struct Held {
    sequence: u64,
    stream: Stream,
    time_ns: i64,
    data: Vec<u8>,
}

pub struct LogRing {
    pieces: RefCell<VecDeque<Held>>,
    first: Cell<u64>,
    next: Cell<u64>,
    capacity: Cell<usize>,
    closed: Cell<bool>,
    /// The one reader; a later one replaces it.
    reader: Cell<u64>,
    grown: Notify,
    shrunk: Notify,
}

impl LogRing {
    pub fn new(capacity: usize) -> Self {
        Self {
            pieces: RefCell::default(),
            first: Cell::new(0),
            next: Cell::new(0),
            capacity: Cell::new(capacity),
            closed: Cell::new(false),
            reader: Cell::new(0),
            grown: Notify::new(),
            shrunk: Notify::new(),
        }
    }

    pub fn set_capacity(&self, capacity: usize) {
        self.capacity.set(capacity);
    }

    /// Oldest byte held.
    pub fn first(&self) -> u64 {
        self.first.get()
    }

    /// One past the newest byte.
    pub fn next(&self) -> u64 {
        self.next.get()
    }

    fn held(&self) -> usize {
        // Never above the capacity plus what a program left in its pipes at its end.
        usize::try_from(self.next.get() - self.first.get()).unwrap_or(usize::MAX)
    }

    /// Waits until a piece fits: what holds back a program whose output nobody stores.
    pub async fn room(&self) {
        while self.held() >= self.capacity.get() && !self.closed.get() {
            self.shrunk.notified().await;
        }
    }

    /// The program has ended: what it left in its pipes is taken without regard to the capacity.
    pub fn lift_limit(&self) {
        self.capacity.set(usize::MAX);
        self.shrunk.notify_waiters();
    }

    /// Appends, whether there is room or not.
    pub fn append(&self, stream: Stream, time_ns: i64, data: &[u8]) {
        let mut pieces = self.pieces.borrow_mut();
        for data in data.chunks(MAX_PIECE) {
            let many = pieces.len() >= MANY;
            match pieces.back_mut() {
                Some(last)
                    if last.stream == stream
                        && last.data.len() + data.len() <= if many { MAX_PIECE } else { MERGE_BELOW }
                        && (many || time_ns.saturating_sub(last.time_ns) <= MERGE_WITHIN_NS) =>
                {
                    last.data.extend_from_slice(data);
                }
                _ => {
                    pieces.push_back(Held {
                        sequence: self.next.get(),
                        stream,
                        time_ns,
                        data: data.to_vec(),
                    });
                }
            }
            self.next.set(self.next.get() + data.len() as u64);
        }
        self.grown.notify_waiters();
    }

    /// Nothing more will come.
    pub fn close(&self) {
        self.closed.set(true);
        self.grown.notify_waiters();
        self.shrunk.notify_waiters();
    }

    /// The host has stored everything below `sequence`.
    pub fn acknowledge(&self, sequence: u64) {
        let upto = sequence.min(self.next.get());
        if upto <= self.first.get() {
            return;
        }
        let mut pieces = self.pieces.borrow_mut();
        while let Some(front) = pieces.front_mut() {
            if front.sequence + front.data.len() as u64 <= upto {
                pieces.pop_front();
            } else {
                if front.sequence < upto {
                    front.data.drain(..(upto - front.sequence) as usize);
                    front.sequence = upto;
                }
                break;
            }
        }
        self.first.set(upto);
        self.shrunk.notify_waiters();
    }

    /// Becomes the one reader.
    pub fn claim(&self) -> u64 {
        self.reader.set(self.reader.get() + 1);
        self.grown.notify_waiters();
        self.reader.get()
    }

    /// True until another reader comes.
    pub fn is_read_by(&self, claim: u64) -> bool {
        self.reader.get() == claim
    }

    /// The next piece at `from` or after it; None at the end, or once another reader has come.
    pub async fn read(&self, claim: u64, from: u64) -> Option<Piece> {
        loop {
            let grown = self.grown.notified();
            if self.reader.get() != claim {
                return None;
            }
            if let Some(piece) = self.at(from) {
                return Some(piece);
            }
            if self.closed.get() {
                return None;
            }
            grown.await;
        }
    }

    fn at(&self, from: u64) -> Option<Piece> {
        let pieces = self.pieces.borrow();
        let index = pieces.partition_point(|held| held.sequence + held.data.len() as u64 <= from);
        let held = pieces.get(index)?;
        let skip = from.saturating_sub(held.sequence) as usize;
        Some(Piece {
            sequence: held.sequence + skip as u64,
            stream: held.stream,
            time_ns: held.time_ns,
            data: Bytes::copy_from_slice(&held.data[skip..]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(ring: &LogRing, mut from: u64) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(piece) = ring.at(from) {
            assert_eq!(piece.sequence, from, "a gap or a repeat");
            assert!(piece.data.len() <= MAX_PIECE);
            from += piece.data.len() as u64;
            all.extend_from_slice(&piece.data);
        }
        all
    }

    #[test]
    fn gives_every_byte_once_from_any_sequence() {
        let ring = LogRing::new(DEFAULT_CAPACITY);
        let mut all = Vec::new();
        for round in 0..500_u32 {
            let stream = if round % 3 == 0 {
                Stream::Stderr
            } else {
                Stream::Stdout
            };
            let data = vec![round as u8; (round as usize * 37) % 5000];
            ring.append(stream, i64::from(round) * 1_000_000, &data);
            all.extend(data);
        }
        for from in [0, 1, 777, all.len() - 1, all.len()] {
            assert_eq!(read_all(&ring, from as u64), all[from..]);
        }
    }

    #[test]
    fn forgets_what_is_acknowledged_and_nothing_more() {
        let ring = LogRing::new(100);
        ring.append(Stream::Stdout, 0, b"hello ");
        ring.append(Stream::Stderr, 0, b"world");
        ring.acknowledge(8);
        assert_eq!((ring.first(), ring.next()), (8, 11));
        assert_eq!(read_all(&ring, 8), b"rld");
        ring.acknowledge(3);
        assert_eq!(ring.first(), 8);
        ring.acknowledge(u64::MAX);
        assert_eq!((ring.first(), ring.next()), (11, 11));
    }

    #[test]
    fn merges_small_writes_of_one_stream() {
        let ring = LogRing::new(DEFAULT_CAPACITY);
        for _ in 0..1000 {
            ring.append(Stream::Stdout, 5, b"x");
        }
        assert_eq!(ring.pieces.borrow().len(), 1);
        ring.append(Stream::Stderr, 5, b"y");
        ring.append(Stream::Stderr, 5 + MERGE_WITHIN_NS + 1, b"z");
        assert_eq!(ring.pieces.borrow().len(), 3);
    }

    #[test]
    fn bounds_the_number_of_pieces() {
        let ring = LogRing::new(DEFAULT_CAPACITY);
        for time in 0..100_000_i64 {
            ring.append(Stream::Stdout, time * 10_000_000, b"1234567890");
        }
        assert!(ring.pieces.borrow().len() <= MANY + 100_000 * 10 / MAX_PIECE + 1);
        assert_eq!(read_all(&ring, 0).len(), 1_000_000);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn holds_back_the_writer_until_an_acknowledgement() {
        let ring = LogRing::new(4);
        ring.append(Stream::Stdout, 0, b"12345");
        tokio::select! {
            biased;
            () = ring.room() => panic!("there is no room"),
            () = async { ring.acknowledge(2) } => {}
        }
        ring.room().await;
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_new_reader_replaces_the_old() {
        let ring = LogRing::new(4);
        let old = ring.claim();
        let (seen, ()) = tokio::join!(ring.read(old, 0), async {
            ring.claim();
        });
        assert_eq!(seen, None);
    }
}
