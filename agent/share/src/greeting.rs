//! How a connection begins. Bytes of an earlier one may still come (a VM that was stopped and goes on sees no hang-up): the
//! server says who it is with a fresh nonce, and nothing counts before the answer that has it.

use rustix::rand::{GetRandomFlags, getrandom};

const LENGTH: usize = 32;
// Where a message would begin, these are a length that none has.
const SERVER: &[u8; 12] = b"\xff\xff\xff\xffKILN9P\x01\0";
const BRIDGE: &[u8; 12] = b"\xff\xff\xff\xffKILN9B\x01\0";
const READ_ONLY: u32 = 1;
const NOTICES: u32 = 2;

pub struct Greeting {
    nonce: [u8; 16],
    /// What may be the start of an answer.
    held: Vec<u8>,
    /// The bridge says that it has heard no hello.
    unheard: bool,
}

/// In the answer's last four bytes.
const RESUMED: u32 = 1;
const TAKES_NOTICES: u32 = 2;

/// The guest is there.
#[derive(Debug, PartialEq, Eq)]
pub struct Answered {
    /// It goes on where another server ended.
    pub resumed: bool,
    /// It does something with what the host has changed.
    pub takes_notices: bool,
    /// What came behind the answer.
    pub rest: Vec<u8>,
}

impl Greeting {
    pub fn new() -> std::io::Result<Self> {
        let mut nonce = [0; 16];
        let count = getrandom(&mut nonce, GetRandomFlags::empty())?;
        if count != nonce.len() {
            return Err(std::io::Error::other("too few random bytes"));
        }
        Ok(Self {
            nonce,
            held: Vec::new(),
            unheard: false,
        })
    }

    pub fn hello(&self, read_only: bool, notices: bool) -> Vec<u8> {
        let flags = if read_only { READ_ONLY } else { 0 } | if notices { NOTICES } else { 0 };
        [&SERVER[..], &self.nonce, &flags.to_le_bytes()].concat()
    }

    /// Looks for the answer in what came; drops what cannot be it.
    pub fn feed(&mut self, bytes: &[u8]) -> Option<Answered> {
        self.held.extend_from_slice(bytes);
        let nudge = [&BRIDGE[..], &[0; 16]].concat();
        self.unheard |= self.held.windows(nudge.len()).any(|window| window == nudge);
        let wanted = [&BRIDGE[..], &self.nonce].concat();
        let found = self
            .held
            .windows(wanted.len())
            .position(|window| window == wanted);
        let Some(at) = found else {
            let kept = self.held.len().min(wanted.len() - 1);
            self.held.drain(..self.held.len() - kept);
            return None;
        };
        self.held.drain(..at);
        if self.held.len() < LENGTH {
            return None;
        }
        let rest = self.held.split_off(LENGTH);
        let flags = self.held[28..]
            .iter()
            .rev()
            .fold(0, |all, &byte| all << 8 | u32::from(byte));
        Some(Answered {
            resumed: flags & RESUMED != 0,
            takes_notices: flags & TAKES_NOTICES != 0,
            rest,
        })
    }

    /// True once after a nudge: an answer with nobody's nonce, of a bridge to which no hello has come.
    pub fn was_unheard(&mut self) -> bool {
        std::mem::take(&mut self.unheard)
    }

    /// True once anything came: then an answer has to.
    pub fn has_begun(&self) -> bool {
        !self.held.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(greeting: &Greeting, resumed: u32) -> Vec<u8> {
        let hello = greeting.hello(false, false);
        [&BRIDGE[..], &hello[12..28], &resumed.to_le_bytes()].concat()
    }

    #[test]
    fn says_whether_it_can_be_written() {
        let greeting = Greeting::new().expect("there is randomness");
        assert_eq!(greeting.hello(false, false).len(), LENGTH);
        assert_eq!(greeting.hello(true, false)[28..], [1, 0, 0, 0]);
        assert_eq!(greeting.hello(true, true)[28..], [3, 0, 0, 0]);
        assert_ne!(
            greeting.hello(false, false),
            Greeting::new().expect("there is randomness").hello(false, false)
        );
    }

    #[test]
    fn finds_the_answer_behind_what_an_earlier_connection_left_in_any_pieces() {
        for size in [1, 3, 31, 32, 500] {
            let mut greeting = Greeting::new().expect("there is randomness");
            let other = Greeting::new().expect("there is randomness");
            let stale = [vec![7; 100], answer(&other, 1), BRIDGE.to_vec()].concat();
            let all = [stale, answer(&greeting, 1), b"next".to_vec()].concat();
            let mut found = None;
            let mut rest = Vec::new();
            for piece in all.chunks(size) {
                match &found {
                    None => found = greeting.feed(piece),
                    Some(_) => rest.extend_from_slice(piece),
                }
            }
            let found = found.expect("it is there");
            assert!(found.resumed && !found.takes_notices);
            assert_eq!([found.rest, rest].concat(), b"next");
        }
    }

    #[test]
    fn hears_that_it_was_not_heard_once_and_in_any_pieces() {
        let nudge = [&BRIDGE[..], &[0; 20]].concat();
        for size in [1, 5, 32] {
            let mut greeting = Greeting::new().expect("there is randomness");
            let heard = nudge.chunks(size).fold(false, |heard, piece| {
                assert_eq!(greeting.feed(piece), None);
                heard | greeting.was_unheard()
            });
            assert!(heard && !greeting.was_unheard());
            assert!(greeting.feed(&answer(&greeting, 1)).is_some());
        }
    }

    #[test]
    fn holds_no_more_than_an_answer() {
        let mut greeting = Greeting::new().expect("there is randomness");
        assert_eq!(greeting.feed(&[0xff; 100_000]), None);
        assert!(greeting.held.len() < LENGTH);
        assert!(greeting.has_begun());
    }
}
