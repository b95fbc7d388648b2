//! Messages of 9P2000.L as bytes: size[4] type[1] tag[2] and a body, little-endian. Reads check every length; a body
//! that is cut short or longer than its message is malformed as a whole.

use rustix::io::Errno;

/// Of a message: size, type and tag.
pub const HEADER: usize = 7;
/// What a read's answer has before its bytes.
pub const READ_HEADER: usize = HEADER + 4;
pub const MAX_MESSAGE: u32 = 1 << 20;
pub const MIN_MESSAGE: u32 = 4096;
pub const NO_FID: u32 = u32::MAX;
/// Of what answers nothing.
pub const NO_TAG: u16 = u16::MAX;

/// Types of requests; an answer has the next number.
pub mod kind {
    pub const ERROR_ANSWER: u8 = 7;
    pub const STATFS: u8 = 8;
    pub const OPEN: u8 = 12;
    pub const CREATE: u8 = 14;
    pub const SYMLINK: u8 = 16;
    pub const MKNOD: u8 = 18;
    pub const READLINK: u8 = 22;
    pub const GETATTR: u8 = 24;
    pub const SETATTR: u8 = 26;
    pub const XATTR_WALK: u8 = 30;
    pub const XATTR_CREATE: u8 = 32;
    pub const READDIR: u8 = 40;
    pub const FSYNC: u8 = 50;
    pub const LOCK: u8 = 52;
    pub const GETLOCK: u8 = 54;
    pub const LINK: u8 = 70;
    pub const MKDIR: u8 = 72;
    pub const RENAME: u8 = 74;
    pub const UNLINK: u8 = 76;
    pub const VERSION: u8 = 100;
    pub const ATTACH: u8 = 104;
    pub const FLUSH: u8 = 108;
    pub const WALK: u8 = 110;
    pub const READ: u8 = 116;
    pub const WRITE: u8 = 118;
    pub const CLUNK: u8 = 120;
    pub const REMOVE: u8 = 122;
    /// kiln's own: what follows is sent again. See docs/design/0022-kiln-share.md.
    pub const REPLAY: u8 = 250;
    /// Unasked, from the server: the host has changed something.
    pub const NOTICE: u8 = 252;
}

/// Which inode an answer is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Qid {
    pub kind: u8,
    pub version: u32,
    pub path: u64,
}

/// The rest of a message's body.
pub struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn bytes(&mut self, length: usize) -> Result<&'a [u8], Errno> {
        let (head, rest) = self.0.split_at_checked(length).ok_or(Errno::INVAL)?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Errno> {
        let bytes = self.bytes(N)?;
        bytes.try_into().map_err(|_| Errno::INVAL)
    }

    pub fn u8(&mut self) -> Result<u8, Errno> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub fn u16(&mut self) -> Result<u16, Errno> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub fn u32(&mut self) -> Result<u32, Errno> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Result<u64, Errno> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Bytes behind a length of two bytes: names need not be UTF-8.
    pub fn text(&mut self) -> Result<&'a [u8], Errno> {
        let length = self.u16()?;
        self.bytes(length.into())
    }

    /// Nothing may follow.
    pub fn end(self) -> Result<(), Errno> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Errno::INVAL)
        }
    }
}

/// The answer that is being written, behind those that wait to be sent.
pub struct Answer<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
}

impl<'a> Answer<'a> {
    pub fn begin(out: &'a mut Vec<u8>, kind: u8, tag: u16) -> Self {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        out.push(kind);
        out.extend_from_slice(&tag.to_le_bytes());
        Self { out, start }
    }

    /// A piece of an answer, without a head.
    pub fn append(out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        Self { out, start }
    }

    pub fn u8(&mut self, value: u8) {
        self.out.push(value);
    }

    pub fn u16(&mut self, value: u16) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    pub fn u32(&mut self, value: u32) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    pub fn u64(&mut self, value: u64) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    pub fn text(&mut self, text: &[u8]) {
        let length = text.len().min(usize::from(u16::MAX));
        self.u16(length as u16);
        self.bytes(&text[..length]);
    }

    pub fn qid(&mut self, qid: Qid) {
        self.u8(qid.kind);
        self.u32(qid.version);
        self.u64(qid.path);
    }

    /// `length` bytes that `fill` writes, cut to how many it says it wrote; their number goes before them.
    pub fn counted(
        &mut self,
        length: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<usize, Errno>,
    ) -> Result<(), Errno> {
        let at = self.out.len();
        self.out.resize(at + 4 + length, 0);
        let count = fill(&mut self.out[at + 4..])?.min(length);
        self.out.truncate(at + 4 + count);
        self.out[at..at + 4].copy_from_slice(&(count as u32).to_le_bytes());
        Ok(())
    }

    /// Takes back whatever was written of the body.
    pub fn fail(self, errno: Errno) {
        self.out.truncate(self.start + HEADER);
        self.out[self.start + 4] = kind::ERROR_ANSWER;
        self.out
            .extend_from_slice(&(errno.raw_os_error() as u32).to_le_bytes());
        self.end();
    }

    pub fn end(self) {
        let length = (self.out.len() - self.start) as u32;
        self.out[self.start..self.start + 4].copy_from_slice(&length.to_le_bytes());
    }

    /// Nothing is answered (now).
    pub fn cancel(self) {
        self.out.truncate(self.start);
    }
}

/// How long the first message in `bytes` is, where its head is there.
/// Err: no message can begin so, and nobody can say where the next one does.
pub fn message_length(bytes: &[u8], max: u32) -> Result<Option<usize>, Errno> {
    let Some(head) = bytes.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_le_bytes(*head);
    if length < HEADER as u32 || length > max {
        return Err(Errno::PROTO);
    }
    Ok(Some(length as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_a_body_that_is_cut_short_or_too_long() {
        assert_eq!(Body::new(&[1, 2, 3]).u32(), Err(Errno::INVAL));
        assert_eq!(Body::new(&[5, 0, b'a']).text(), Err(Errno::INVAL));
        let mut body = Body::new(&[1, 0, 0xff, 9]);
        assert_eq!(body.text(), Ok(&[0xff][..]));
        assert_eq!(body.end(), Err(Errno::INVAL));
    }

    #[test]
    fn takes_no_length_that_cannot_be_one() {
        assert_eq!(message_length(&[0xff, 0xff, 0xff], MAX_MESSAGE), Ok(None));
        for length in [0u32, 6, MAX_MESSAGE + 1, u32::MAX] {
            assert_eq!(
                message_length(&length.to_le_bytes(), MAX_MESSAGE),
                Err(Errno::PROTO)
            );
        }
        assert_eq!(message_length(&7u32.to_le_bytes(), MAX_MESSAGE), Ok(Some(7)));
    }

    #[test]
    fn takes_back_what_was_written_when_a_request_fails() {
        let mut out = vec![9];
        let mut answer = Answer::begin(&mut out, kind::READ + 1, 3);
        answer.u64(77);
        answer.fail(Errno::NOENT);
        assert_eq!(out, [9, 11, 0, 0, 0, 7, 3, 0, 2, 0, 0, 0]);
    }

    #[test]
    fn cuts_counted_bytes_to_what_came() {
        let mut out = Vec::new();
        let mut answer = Answer::begin(&mut out, kind::READ + 1, 3);
        let filled = answer.counted(100, |buffer| {
            buffer[..2].copy_from_slice(b"ab");
            Ok(2)
        });
        answer.end();
        assert_eq!(filled, Ok(()));
        assert_eq!(out, [13, 0, 0, 0, 117, 3, 0, 2, 0, 0, 0, b'a', b'b']);
    }
}
