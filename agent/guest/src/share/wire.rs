//! 9P2000.L as far as the bridge must know it: size[4] type[1] tag[2], then fields; all little-endian.

use bytes::{BufMut, Bytes, BytesMut};

/// size, type, tag.
pub const HEADER: usize = 7;
/// What the mount asks for.
pub const MSIZE: u32 = 512 << 10;
/// The tag of Tversion.
pub const NO_TAG: u16 = 0xffff;
/// Names of one Twalk.
pub const MAX_WALK: usize = 16;
pub const VERSION: &[u8] = b"9P2000.L";

pub const RLERROR: u8 = 7;
pub const TLOPEN: u8 = 12;
pub const TLCREATE: u8 = 14;
pub const TSYMLINK: u8 = 16;
pub const TMKNOD: u8 = 18;
pub const TRENAME: u8 = 20;
pub const TREADLINK: u8 = 22;
pub const TGETATTR: u8 = 24;
pub const TSETATTR: u8 = 26;
pub const TXATTRWALK: u8 = 30;
pub const TXATTRCREATE: u8 = 32;
pub const TREADDIR: u8 = 40;
pub const TLOCK: u8 = 52;
pub const TLINK: u8 = 70;
pub const TMKDIR: u8 = 72;
pub const TRENAMEAT: u8 = 74;
pub const TUNLINKAT: u8 = 76;
pub const TVERSION: u8 = 100;
pub const TAUTH: u8 = 102;
pub const TATTACH: u8 = 104;
pub const TFLUSH: u8 = 108;
pub const TWALK: u8 = 110;
pub const TREAD: u8 = 116;
pub const TWRITE: u8 = 118;
pub const TCLUNK: u8 = 120;
pub const TREMOVE: u8 = 122;
/// Of the share's stream, not of 9P: "the requests with these tags come again now".
pub const TREPLAY: u8 = 250;
/// Likewise, of the server, unasked: the host has changed what has this name.
pub const NOTICE: u8 = 252;

/// The type of a whole message.
pub fn kind(message: &[u8]) -> u8 {
    message[4]
}

pub fn tag(message: &[u8]) -> u16 {
    u16::from_le_bytes([message[5], message[6]])
}

pub fn set_tag(message: &mut [u8], tag: u16) {
    message[5..HEADER].copy_from_slice(&tag.to_le_bytes());
}

/// The length of the message that begins here, once that is there.
pub fn length(bytes: &[u8]) -> Option<usize> {
    let size = bytes.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*size) as usize)
}

/// What tells a file from every other, and whether it is still the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Qid {
    pub kind: u8,
    pub path: u64,
}

impl Qid {
    pub const fn is_directory(self) -> bool {
        self.kind & 0x80 != 0
    }
}

/// Takes fields from the front of a message; None once it is too short.
#[derive(Clone)]
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// Behind the header of a whole message.
    pub fn of(message: &'a [u8]) -> Self {
        Self(&message[HEADER..])
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub fn u16(&mut self) -> Option<u16> {
        let bytes = self.take(2)?.first_chunk()?;
        Some(u16::from_le_bytes(*bytes))
    }

    pub fn u32(&mut self) -> Option<u32> {
        let bytes = self.take(4)?.first_chunk()?;
        Some(u32::from_le_bytes(*bytes))
    }

    pub fn u64(&mut self) -> Option<u64> {
        let bytes = self.take(8)?.first_chunk()?;
        Some(u64::from_le_bytes(*bytes))
    }

    pub fn string(&mut self) -> Option<Box<[u8]>> {
        let length = self.u16()?;
        self.take(length.into()).map(Box::from)
    }

    /// Behind a count of 32 bits.
    pub fn data(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()?;
        self.take(length as usize)
    }

    pub fn qid(&mut self) -> Option<Qid> {
        let kind = self.u8()?;
        self.u32()?;
        Some(Qid {
            kind,
            path: self.u64()?,
        })
    }
}

/// Builds a message.
pub struct Message(BytesMut);

impl Message {
    pub fn new(kind: u8, tag: u16) -> Self {
        let mut bytes = BytesMut::with_capacity(64);
        bytes.put_u32_le(0);
        bytes.put_u8(kind);
        bytes.put_u16_le(tag);
        Self(bytes)
    }

    pub fn u8(mut self, value: u8) -> Self {
        self.0.put_u8(value);
        self
    }

    pub fn u16(mut self, value: u16) -> Self {
        self.0.put_u16_le(value);
        self
    }

    pub fn u32(mut self, value: u32) -> Self {
        self.0.put_u32_le(value);
        self
    }

    pub fn u64(mut self, value: u64) -> Self {
        self.0.put_u64_le(value);
        self
    }

    /// Strings come from messages, where they had 16 bits of length.
    pub fn string(mut self, text: &[u8]) -> Self {
        self.0.put_u16_le(text.len() as u16);
        self.0.put_slice(text);
        self
    }

    pub fn data(mut self, data: &[u8]) -> Self {
        self.0.put_u32_le(data.len() as u32);
        self.0.put_slice(data);
        self
    }

    pub fn done(mut self) -> Bytes {
        let length = self.0.len() as u32;
        self.0[..4].copy_from_slice(&length.to_le_bytes());
        self.0.freeze()
    }
}

/// An errno as an answer.
pub fn refusal(tag: u16, errno: i32) -> Bytes {
    Message::new(RLERROR, tag).u32(errno as u32).done()
}

/// The errno of an answer that is one.
pub fn errno(answer: &[u8]) -> Option<i32> {
    (kind(answer) == RLERROR).then(|| {
        Fields::of(answer)
            .u32()
            .map_or(libc::EPROTO, |errno| errno as i32)
    })
}
