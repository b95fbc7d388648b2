//! What comes from the server: finds hellos and whole messages in the stream, and keeps the bytes of two sessions apart.
//!
//! Without a session everything but a hello is left over from an earlier one. Within a session a hello between two
//! messages is a new one. In the middle of a message it may be one too: a machine that was restored sees no hang-up, and
//! the rest of the message never comes. A server that has said hello is silent until it is answered; so 32 bytes that come
//! alone or last, begin like a hello and are followed by silence are one, and any more bytes behind them say that they
//! were data.

use std::time::Duration;

use bytes::{Buf, BytesMut};

use super::hello::{self, Hello};
use super::wire;

/// The rest of a message is on its way at once.
const IN_MID_MESSAGE: Duration = Duration::from_millis(250);
/// Where the bytes would just complete the message, only the answer to a question shows that the session lives.
const AT_ITS_END: Duration = Duration::from_secs(2);

#[derive(Debug, PartialEq)]
pub enum Piece {
    Hello(Hello),
    /// A whole message.
    Message(BytesMut),
    /// No message has such a length: the session is of no use any more.
    Broken,
}

/// Bytes that may be data or a hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspicion {
    /// Silence for as long proves a hello.
    pub silence: Duration,
    /// Ask something that only a living session answers.
    pub ask: bool,
}

pub struct Inbox {
    buffer: BytesMut,
    held: Option<[u8; hello::LENGTH]>,
    /// Within a session.
    live: bool,
    longest: usize,
}

impl Inbox {
    /// `longest`: no message is longer.
    pub fn new(longest: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            held: None,
            live: false,
            longest,
        }
    }

    /// The session is over: nothing counts until the next hello.
    pub fn end_session(&mut self) {
        self.live = false;
        self.held = None;
    }

    /// The connection is over: what comes next begins a stream.
    pub fn clear(&mut self) {
        self.end_session();
        self.buffer.clear();
    }

    /// Takes what one read gave, with hellos at its end apart (`hello::apart`).
    pub fn feed(&mut self, chunk: &[u8]) -> Option<Suspicion> {
        let alone = <[u8; hello::LENGTH]>::try_from(chunk).ok();
        let alone = alone.filter(|bytes| bytes.starts_with(&hello::MAGIC));
        match (self.held.take(), alone) {
            // No data look so twice.
            (Some(_), Some(_)) => self.buffer.clear(),
            (Some(held), None) => self.buffer.extend_from_slice(&held),
            (None, _) => {}
        }
        if let (true, Some(missing)) = (self.live, self.missing())
            && alone.is_some()
        {
            self.held = alone;
            let ask = missing == hello::LENGTH;
            let silence = if ask { AT_ITS_END } else { IN_MID_MESSAGE };
            return Some(Suspicion { silence, ask });
        }
        self.buffer.extend_from_slice(chunk);
        None
    }

    /// How much of a message that has begun is still to come.
    fn missing(&self) -> Option<usize> {
        if self.buffer.is_empty() {
            return None;
        }
        Some(wire::length(&self.buffer).map_or(1, |length| length.saturating_sub(self.buffer.len())))
    }

    /// Nothing has followed what was suspicious.
    pub fn silence(&mut self) {
        if let Some(held) = self.held.take() {
            self.buffer.clear();
            self.buffer.extend_from_slice(&held);
        }
    }

    /// The next that is whole.
    pub fn next(&mut self) -> Option<Piece> {
        if !self.live {
            self.skip_to_hello();
        }
        if self.buffer.starts_with(&hello::MAGIC) {
            let hello = Hello::parse(self.buffer.first_chunk()?);
            self.buffer.advance(hello::LENGTH);
            self.live = true;
            return Some(Piece::Hello(hello));
        }
        if !self.live || hello::may_begin_hello(&self.buffer) {
            return None;
        }
        let length = wire::length(&self.buffer)?;
        if !(wire::HEADER..=self.longest).contains(&length) {
            self.clear();
            return Some(Piece::Broken);
        }
        if self.buffer.len() < length {
            // All of it at once, instead of by doubling.
            self.buffer.reserve(length - self.buffer.len());
            return None;
        }
        Some(Piece::Message(self.buffer.split_to(length)))
    }

    fn skip_to_hello(&mut self) {
        while !self.buffer.is_empty() && !hello::may_begin_hello(&self.buffer) {
            let next = self.buffer[1..].iter().position(|&byte| byte == hello::MAGIC[0]);
            self.buffer.advance(next.map_or(self.buffer.len(), |at| at + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::share::hello::greeting;
    use crate::share::wire::{Message, RLERROR};

    fn message(length: usize) -> Vec<u8> {
        let mut bytes = vec![7; length];
        bytes[..4].copy_from_slice(&(length as u32).to_le_bytes());
        bytes
    }

    fn live() -> Inbox {
        let mut inbox = Inbox::new(1 << 20);
        inbox.feed(&greeting(1));
        assert!(matches!(inbox.next(), Some(Piece::Hello(_))));
        inbox
    }

    fn hello_of(inbox: &mut Inbox) -> Option<u8> {
        match inbox.next() {
            Some(Piece::Hello(hello)) => Some(hello.nonce[0]),
            _ => None,
        }
    }

    #[test]
    fn finds_a_hello_behind_stale_bytes_however_it_is_cut() {
        let stale = [
            b"stale \xff\xff\xff\xffKILN9P\x02 \xff\xff".to_vec(),
            greeting(9).to_vec(),
        ]
        .concat();
        for size in 1..=stale.len() {
            let mut inbox = Inbox::new(4096);
            let mut seen = None;
            for chunk in stale.chunks(size) {
                assert_eq!(inbox.feed(chunk), None);
                seen = seen.or(hello_of(&mut inbox));
            }
            assert_eq!(seen, Some(9), "in pieces of {size}");
        }
    }

    #[test]
    fn cuts_messages_and_takes_a_hello_between_two() {
        let mut inbox = live();
        let small = Message::new(RLERROR, 3).u32(5).done();
        inbox.feed(&[&small[..], &small[..4]].concat());
        assert_eq!(inbox.next(), Some(Piece::Message(BytesMut::from(&small[..]))));
        assert_eq!(inbox.next(), None);
        inbox.feed(&small[4..]);
        assert_eq!(inbox.next(), Some(Piece::Message(BytesMut::from(&small[..]))));
        assert_eq!(inbox.feed(&greeting(2)), None);
        assert_eq!(hello_of(&mut inbox), Some(2));
    }

    #[test]
    fn a_hello_in_mid_message_is_one_when_silence_follows() {
        let mut inbox = live();
        inbox.feed(&message(500)[..100]);
        let suspicion = inbox.feed(&greeting(2)).unwrap();
        assert!(!suspicion.ask);
        assert_eq!(inbox.next(), None);
        inbox.silence();
        assert_eq!(hello_of(&mut inbox), Some(2));
        assert_eq!(inbox.next(), None, "the cut message is gone");
    }

    #[test]
    fn of_two_hellos_in_mid_message_the_last_counts() {
        let mut inbox = live();
        inbox.feed(&message(500)[..480]);
        assert!(inbox.feed(&greeting(2)).is_some());
        assert_eq!(inbox.feed(&greeting(3)), None);
        assert_eq!(hello_of(&mut inbox), Some(3));
    }

    #[test]
    fn data_that_looks_like_a_hello_stays_data() {
        let mut inbox = live();
        let mut whole = message(500);
        whole[100..132].copy_from_slice(&greeting(2));
        inbox.feed(&whole[..100]);
        assert!(inbox.feed(&whole[100..132]).is_some());
        assert_eq!(inbox.feed(&whole[132..]), None);
        assert_eq!(inbox.next(), Some(Piece::Message(BytesMut::from(&whole[..]))));
    }

    #[test]
    fn asks_where_a_hello_would_complete_the_message() {
        let mut inbox = live();
        let mut whole = message(132);
        whole[100..].copy_from_slice(&greeting(2));
        inbox.feed(&whole[..100]);
        assert!(inbox.feed(&whole[100..]).unwrap().ask);
        inbox.feed(&message(7));
        assert_eq!(inbox.next(), Some(Piece::Message(BytesMut::from(&whole[..]))));
        assert_eq!(
            inbox.next(),
            Some(Piece::Message(BytesMut::from(&message(7)[..])))
        );
    }

    #[test]
    fn no_length_is_taken_for_granted() {
        for length in [0_u32, 6, (1 << 20) + 1, u32::MAX - 1] {
            let mut inbox = live();
            inbox.feed(&length.to_le_bytes());
            inbox.feed(&[0; 64]);
            assert_eq!(inbox.next(), Some(Piece::Broken), "{length}");
        }
    }

    #[test]
    fn holds_no_garbage() {
        let mut inbox = Inbox::new(4096);
        for _ in 0..1000 {
            inbox.feed(&[0xff; 4096]);
            assert_eq!(inbox.next(), None);
        }
        assert!(inbox.buffer.len() < hello::LENGTH);
    }
}
