//! gRPC's length-prefixed messages: a compression flag, four bytes of length, the message.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

use super::status::{Code, Result, Status};

/// Nothing that a host sends is larger: data comes in pieces, and a boot request holds an environment at most.
pub const MAX_MESSAGE: usize = 4 << 20;
const PREFIX: usize = 5;

pub fn encode(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut buffer = BytesMut::with_capacity(PREFIX + length);
    buffer.put_u8(0);
    buffer.put_u32(u32::try_from(length).expect("messages of the agent are small"));
    message
        .encode(&mut buffer)
        .expect("the buffer has room for the message");
    buffer.freeze()
}

/// Collects the bytes of a stream into messages.
#[derive(Default)]
pub struct Decoder {
    buffer: BytesMut,
}

impl Decoder {
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, if it is there.
    pub fn next<M: Message + Default>(&mut self) -> Result<Option<M>> {
        let Some(&[flag, a, b, c, d]) = self.buffer.first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        if flag != 0 {
            return Err(Status::new(
                Code::Unimplemented,
                "compressed messages are not spoken here",
            ));
        }
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > MAX_MESSAGE {
            let text = format!("a message of {length} bytes is over the limit of {MAX_MESSAGE}");
            return Err(Status::new(Code::ResourceExhausted, text));
        }
        if self.buffer.len() < PREFIX + length {
            self.buffer.reserve(PREFIX + length - self.buffer.len());
            return Ok(None);
        }
        self.buffer.advance(PREFIX);
        Ok(Some(M::decode(self.buffer.split_to(length).freeze())?))
    }

    /// True where a stream may end: not inside a message.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{SignalRequest, StopRequest};

    #[test]
    fn reads_what_it_wrote_however_it_is_cut() {
        let wire = [
            encode(&SignalRequest { signal: 15 }),
            encode(&SignalRequest { signal: 9 }),
        ]
        .concat();
        for step in 1..wire.len() {
            let mut decoder = Decoder::default();
            let mut seen = Vec::new();
            for chunk in wire.chunks(step) {
                decoder.feed(chunk);
                while let Some(message) = decoder.next::<SignalRequest>().unwrap() {
                    seen.push(message.signal);
                }
            }
            assert_eq!(seen, [15, 9]);
            assert!(decoder.is_empty());
        }
    }

    #[test]
    fn refuses_a_message_over_the_limit_before_it_is_there() {
        let mut decoder = Decoder::default();
        decoder.feed(&[0, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(
            decoder.next::<StopRequest>().unwrap_err().code,
            Code::ResourceExhausted
        );
    }

    #[test]
    fn refuses_compression_and_nonsense() {
        let mut decoder = Decoder::default();
        decoder.feed(&[1, 0, 0, 0, 0]);
        assert_eq!(
            decoder.next::<StopRequest>().unwrap_err().code,
            Code::Unimplemented
        );
        let mut decoder = Decoder::default();
        decoder.feed(&[0, 0, 0, 0, 2, 0xff, 0xff]);
        assert_eq!(
            decoder.next::<StopRequest>().unwrap_err().code,
            Code::InvalidArgument
        );
    }
}
