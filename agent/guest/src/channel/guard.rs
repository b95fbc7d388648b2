//! Cuts the inbound bytes of a virtio-serial session at HTTP/2 frames, so that a frame that a dead host left unfinished
//! never reaches a handler, and a new host's hello ends the old session.
//!
//! Why: when a host leaves and another comes while the guest is not scheduled (paused, starved), the port never shows
//! the gap, and the new hello lands in the middle of the old frame. Without this it would be taken for payload: stdin
//! of a program would get it. Pure: no I/O, no clock.

use bytes::{Bytes, BytesMut};

use super::hello;

const PREFACE: usize = 24;
const HEADER: usize = 9;
/// SETTINGS_MAX_FRAME_SIZE stays at its default: see `grpc::serve`.
const MAX_FRAME: usize = 16_384;

#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Whole frames, maybe none.
    Pass(Bytes),
    /// Bytes in the middle of a frame that are hellos and nothing else. If nothing follows soon, it is a new host
    /// (`give_up`); if more follows, it was payload.
    Suspect,
    /// A new host is there; these bytes are its hello.
    Reset(Bytes),
}

pub struct FrameGuard {
    partial: BytesMut,
    suspect: Option<Bytes>,
    preface_seen: bool,
    /// What comes is no HTTP/2: let the parser say so.
    open: bool,
}

impl FrameGuard {
    pub fn new() -> Self {
        Self {
            partial: BytesMut::new(),
            suspect: None,
            preface_seen: false,
            open: false,
        }
    }

    /// `chunk` is exactly what one read gave: hosts' bytes never share a chunk, as each fills buffers of its own.
    pub fn push(&mut self, chunk: &[u8]) -> Verdict {
        if let Some(held) = self.suspect.take() {
            if hello::is_only_hellos(chunk) {
                return Verdict::Reset(Bytes::from([&held, chunk].concat()));
            }
            self.partial.extend_from_slice(&held);
        } else if self.partial.is_empty() {
            if self.preface_seen && hello::starts_like_hello(chunk) {
                return Verdict::Reset(Bytes::copy_from_slice(chunk));
            }
        } else if hello::is_only_hellos(chunk) {
            self.suspect = Some(Bytes::copy_from_slice(chunk));
            return Verdict::Suspect;
        }
        self.partial.extend_from_slice(chunk);
        let whole = self.whole_frames();
        Verdict::Pass(self.partial.split_to(whole).freeze())
    }

    /// Nothing followed a suspect: it was a hello. None where there is no suspect.
    pub fn give_up(&mut self) -> Option<Bytes> {
        self.suspect.take()
    }

    fn whole_frames(&mut self) -> usize {
        let mut at = 0;
        if !self.preface_seen {
            if self.partial.len() < PREFACE {
                return 0;
            }
            self.preface_seen = true;
            at = PREFACE;
        }
        while !self.open {
            let rest = &self.partial[at..];
            let Some(&[high, middle, low]) = rest.first_chunk::<3>() else {
                return at;
            };
            let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
            if length > MAX_FRAME {
                self.open = true;
                break;
            }
            if rest.len() < HEADER + length {
                return at;
            }
            at += HEADER + length;
        }
        self.partial.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFACE_BYTES: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    fn frame(length: usize, fill: u8) -> Vec<u8> {
        let mut bytes = vec![
            (length >> 16) as u8,
            (length >> 8) as u8,
            length as u8,
            0,
            0,
            0,
            0,
            0,
            1,
        ];
        bytes.resize(HEADER + length, fill);
        bytes
    }

    fn a_hello() -> Vec<u8> {
        let mut bytes = b"\xff\xff\xff\xfeKILN\x00\x01".to_vec();
        bytes.resize(hello::LENGTH, 0);
        bytes
    }

    fn started() -> FrameGuard {
        let mut guard = FrameGuard::new();
        assert_eq!(
            guard.push(PREFACE_BYTES),
            Verdict::Pass(Bytes::from_static(PREFACE_BYTES))
        );
        guard
    }

    fn passed(verdict: Verdict) -> Vec<u8> {
        match verdict {
            Verdict::Pass(bytes) => bytes.to_vec(),
            other => panic!("not passed: {other:?}"),
        }
    }

    #[test]
    fn passes_whole_frames_and_holds_the_rest() {
        let mut guard = started();
        let bytes = [frame(5, 1), frame(0, 0), frame(100, 2)].concat();
        assert_eq!(passed(guard.push(&bytes[..50])), bytes[..23]);
        assert_eq!(passed(guard.push(&bytes[50..])), bytes[23..]);
    }

    #[test]
    fn gives_the_same_bytes_however_they_are_cut() {
        let bytes = [
            PREFACE_BYTES.to_vec(),
            frame(300, 7),
            frame(16_384, 8),
            frame(1, 9),
        ]
        .concat();
        for step in [1, 7, 9, 4096] {
            let mut guard = FrameGuard::new();
            let all: Vec<u8> = bytes
                .chunks(step)
                .flat_map(|chunk| passed(guard.push(chunk)))
                .collect();
            assert_eq!(all, bytes, "in steps of {step}");
        }
    }

    #[test]
    fn resets_at_a_hello_between_frames() {
        let mut guard = started();
        assert_eq!(guard.push(&a_hello()), Verdict::Reset(a_hello().into()));
    }

    #[test]
    fn never_passes_an_unfinished_frame_that_a_hello_follows() {
        let mut guard = started();
        assert!(passed(guard.push(&frame(40, 1)[..20])).is_empty());
        assert_eq!(guard.push(&a_hello()), Verdict::Suspect);
        assert_eq!(guard.give_up(), Some(a_hello().into()));
    }

    #[test]
    fn takes_a_repeated_hello_for_a_new_host() {
        let mut guard = started();
        guard.push(&frame(4000, 1)[..20]);
        assert_eq!(guard.push(&a_hello()), Verdict::Suspect);
        assert_eq!(
            guard.push(&a_hello()),
            Verdict::Reset([a_hello(), a_hello()].concat().into())
        );
    }

    #[test]
    fn takes_a_hello_inside_payload_for_payload_when_more_follows() {
        let mut guard = started();
        let mut bytes = frame(64, 3);
        bytes[20..52].copy_from_slice(&a_hello());
        assert!(passed(guard.push(&bytes[..20])).is_empty());
        assert_eq!(guard.push(&bytes[20..52]), Verdict::Suspect);
        assert_eq!(passed(guard.push(&bytes[52..])), bytes);
        assert_eq!(guard.give_up(), None);
    }

    #[test]
    fn leaves_what_is_no_http2_to_the_parser() {
        let mut guard = started();
        assert_eq!(passed(guard.push(b"\x7f\xff\xff junk")), b"\x7f\xff\xff junk");
    }

    /// Marsaglia's xorshift: the same numbers in each run.
    fn numbers(mut state: u64) -> impl FnMut(usize) -> usize {
        move |below| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        }
    }

    #[test]
    fn whatever_comes_passes_in_order_and_little_is_held() {
        let mut number = numbers(20_261_129);
        let mut guard = FrameGuard::new();
        let mut pending: Vec<u8> = Vec::new();
        for turn in 0..100_000 {
            let whole = match number(8) {
                0 => a_hello(),
                1 => [a_hello(), a_hello()].concat(),
                2 => PREFACE_BYTES.to_vec(),
                3 => (0..number(40)).map(|_| number(256) as u8).collect(),
                4 => frame(number(MAX_FRAME + 2), 5),
                _ => frame(number(64), 6),
            };
            let cut = if number(3) == 0 {
                number(whole.len() + 1)
            } else {
                whole.len()
            };
            let chunk = &whole[..cut.min(4096)];
            pending.extend_from_slice(chunk);
            let ended = match guard.push(chunk) {
                Verdict::Pass(bytes) => {
                    assert_eq!(bytes, pending[..bytes.len()], "turn {turn}");
                    pending.drain(..bytes.len());
                    // A session does not outlive what is no HTTP/2.
                    guard.open && number(20) == 0
                }
                Verdict::Suspect => number(3) == 0 && guard.give_up().is_some_and(|held| held == chunk),
                Verdict::Reset(bytes) => {
                    assert!(
                        hello::starts_like_hello(&bytes) && pending.ends_with(&bytes),
                        "turn {turn}"
                    );
                    true
                }
            };
            assert!(guard.partial.len() < HEADER + MAX_FRAME, "turn {turn}");
            if ended {
                guard = FrameGuard::new();
                pending.clear();
            }
        }
    }
}
