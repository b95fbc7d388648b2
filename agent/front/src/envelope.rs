//! Connect's stream framing (https://connectrpc.com/docs/protocol/#streaming-rpcs): a flag byte, four bytes of length, the
//! message. As `src/sdk/envelope.ts`, with protobuf inside.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

/// As `src/sdk/wire-stream.ts`: output comes in pieces of 64 KiB, but a VM has all that its command line had.
const MAX_MESSAGE: usize = 16 << 20;
const HEADER: usize = 5;
/// The message is compressed, which was never asked for.
const COMPRESSED: u8 = 0x01;
/// The last one: its message is the status of the call, as JSON.
const END_STREAM: u8 = 0x02;

/// What is no answer of kilnd's.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

/// One envelope, read.
#[derive(Debug, PartialEq)]
pub enum Envelope<M> {
    Message(M),
    /// The status of the call, unread.
    End(Bytes),
}

/// One message, framed.
pub fn encode(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut buffer = BytesMut::with_capacity(HEADER + length);
    buffer.put_u8(0);
    // ARG_MAX and the pieces of stdin keep it far below.
    buffer.put_u32(u32::try_from(length).expect("no request is of 4 GiB"));
    message
        .encode(&mut buffer)
        .expect("the buffer has room for the message");
    buffer.freeze()
}

/// Cuts a byte stream into envelopes, however it was chunked.
#[derive(Default)]
pub struct Reader {
    buffer: BytesMut,
}

impl Reader {
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole envelope, if it is there.
    pub fn next<M: Message + Default>(&mut self) -> Result<Option<Envelope<M>>, Malformed> {
        let Some(&[flags, a, b, c, d]) = self.buffer.first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if flags & COMPRESSED != 0 || length > MAX_MESSAGE {
            return Err(Malformed);
        }
        if self.buffer.len() < HEADER + length {
            return Ok(None);
        }
        self.buffer.advance(HEADER);
        let payload = self.buffer.split_to(length).freeze();
        if flags & END_STREAM != 0 {
            return Ok(Some(Envelope::End(payload)));
        }
        let message = M::decode(payload).map_err(|_| Malformed)?;
        Ok(Some(Envelope::Message(message)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::exec_response::Message as Answer;
    use crate::proto::{ExecExit, ExecResponse, Output};

    fn read(reader: &mut Reader) -> Result<Option<Envelope<ExecResponse>>, Malformed> {
        reader.next()
    }

    fn answers() -> [ExecResponse; 2] {
        let output = Output {
            stream: 1,
            data: Bytes::from_static(b"out"),
            next: None,
        };
        let exit = ExecExit {
            code: 3,
            error: String::new(),
        };
        [Answer::Output(output), Answer::Exit(exit)].map(|message| ExecResponse {
            message: Some(message),
        })
    }

    #[test]
    fn reads_what_was_written_however_it_is_cut() {
        let mut wire: Vec<u8> = answers().iter().flat_map(encode).collect();
        wire.extend([END_STREAM, 0, 0, 0, 2, b'{', b'}']);
        let [output, exit] = answers().map(Envelope::Message);
        let wanted = [output, exit, Envelope::End(Bytes::from_static(b"{}"))];
        for step in 1..=wire.len() {
            let mut reader = Reader::default();
            let mut seen = Vec::new();
            for chunk in wire.chunks(step) {
                reader.feed(chunk);
                while let Some(envelope) = read(&mut reader).unwrap() {
                    seen.push(envelope);
                }
            }
            assert_eq!(seen, wanted, "in steps of {step}");
        }
    }

    #[test]
    fn refuses_a_message_over_the_limit_before_it_is_there() {
        let mut reader = Reader::default();
        reader.feed(&[0, 1, 0, 0, 1]);
        assert_eq!(read(&mut reader), Err(Malformed));
    }

    #[test]
    fn refuses_compression_and_nonsense() {
        for wire in [&[1, 0, 0, 0, 0][..], &[0, 0, 0, 0, 2, 0xff, 0xff]] {
            let mut reader = Reader::default();
            reader.feed(wire);
            assert_eq!(read(&mut reader), Err(Malformed));
        }
    }
}
