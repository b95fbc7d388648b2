//! Messages on their way into a descriptor that takes some bytes at a time.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};

/// Small messages go together up to this; the port's driver takes no more at once.
const TOGETHER: usize = 32 << 10;

#[derive(Default)]
pub struct Outbox {
    queue: VecDeque<Bytes>,
    /// Of the first, some bytes have gone.
    begun: bool,
    length: usize,
    /// All of it may wait until there is more.
    waits: bool,
}

impl Outbox {
    pub fn push(&mut self, message: Bytes) {
        self.waits = false;
        self.length += message.len();
        self.queue.push_back(message);
    }

    /// One that may wait for the next.
    pub fn push_idle(&mut self, message: Bytes) {
        let waits = self.waits || self.queue.is_empty();
        self.push(message);
        self.waits = waits;
    }

    /// True where something is to be written now.
    pub const fn is_urgent(&self) -> bool {
        self.length > 0 && !self.waits
    }

    /// What waits has waited long enough.
    pub const fn hurry(&mut self) {
        self.waits = false;
    }

    /// Bytes that wait.
    pub const fn length(&self) -> usize {
        self.length
    }

    /// What to write next: a long message by itself, short ones together. `scratch` has room for those.
    pub fn gather<'a>(&'a self, scratch: &'a mut [u8]) -> &'a [u8] {
        let mut parts = self.parts().peekable();
        if let Some(first) = parts.next_if(|first| first.len() >= TOGETHER / 2) {
            return first;
        }
        let mut length = 0;
        for part in parts {
            let count = part.len().min(TOGETHER - length);
            scratch[length..length + count].copy_from_slice(&part[..count]);
            length += count;
            if length == TOGETHER {
                break;
            }
        }
        &scratch[..length]
    }

    /// Messages, or the rest of one, in their order.
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.queue.iter().map(|message| &message[..])
    }

    /// So much of it was written.
    pub fn advance(&mut self, mut count: usize) {
        self.length -= count;
        while let Some(first) = self.queue.front_mut() {
            if count < first.len() {
                self.begun |= count > 0;
                first.advance(count);
                return;
            }
            count -= first.len();
            self.begun = false;
            self.queue.pop_front();
        }
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Drops all but the rest of a message that has begun.
    pub fn clear_after_message(&mut self) {
        self.queue.truncate(usize::from(self.begun));
        self.length = self.queue.iter().map(Bytes::len).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(outbox: &Outbox) -> Vec<u8> {
        outbox.parts().flatten().copied().collect()
    }

    #[test]
    fn what_may_wait_goes_with_the_next() {
        let mut outbox = Outbox::default();
        outbox.push_idle(Bytes::from_static(b"a"));
        outbox.push_idle(Bytes::from_static(b"b"));
        assert!(!outbox.is_urgent());
        outbox.push(Bytes::from_static(b"c"));
        outbox.push_idle(Bytes::from_static(b"d"));
        assert!(outbox.is_urgent(), "it would overtake");
        outbox.advance(4);
        outbox.push_idle(Bytes::from_static(b"e"));
        assert!(!outbox.is_urgent());
        outbox.hurry();
        assert!(outbox.is_urgent());
    }

    #[test]
    fn goes_on_where_it_was_cut() {
        let mut outbox = Outbox::default();
        for part in [&b"abc"[..], b"de", b"f"] {
            outbox.push(Bytes::from_static(part));
        }
        outbox.advance(4);
        assert_eq!((left(&outbox), outbox.length()), (b"ef".to_vec(), 2));
        outbox.clear_after_message();
        assert_eq!((left(&outbox), outbox.length()), (b"e".to_vec(), 1));
        outbox.advance(1);
        outbox.push(Bytes::from_static(b"g"));
        outbox.clear_after_message();
        assert_eq!(left(&outbox), b"");
    }
}
