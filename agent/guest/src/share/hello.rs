//! The hello of a share's stream: how both ends find the start of a session on a stream that may still hold bytes of the
//! last one. Magic, version, nonce; then flags of the server, or of the bridge.

/// Length of a hello and of its answer.
pub const LENGTH: usize = 32;

// ff ff ff ff in place of a size is longer than any message.
pub const MAGIC: [u8; 12] = *b"\xff\xff\xff\xffKILN9P\x01\0";
const ANSWER: [u8; 12] = *b"\xff\xff\xff\xffKILN9B\x01\0";

/// What a server begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    pub nonce: [u8; 16],
}

impl Hello {
    /// From bytes that begin with the magic.
    pub fn parse(bytes: &[u8; LENGTH]) -> Self {
        let mut nonce = [0; 16];
        nonce.copy_from_slice(&bytes[12..28]);
        Self { nonce }
    }

    /// @param resumed a mount is behind the bridge
    /// @param notices it is to be told what the host changes
    pub fn answer(&self, resumed: bool, notices: bool) -> [u8; LENGTH] {
        answer(&self.nonce, u8::from(resumed) | u8::from(notices) << 1)
    }
}

/// Ends the session of a server that believes it has one: no message is that long, and the nonce is nobody's. A server
/// that waits for its answer skips it.
pub fn nudge() -> [u8; LENGTH] {
    answer(&[0; 16], 0)
}

fn answer(nonce: &[u8; 16], flags: u8) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes[..12].copy_from_slice(&ANSWER);
    bytes[12..28].copy_from_slice(nonce);
    bytes[28] = flags;
    bytes
}

/// True where one is a prefix of the other.
pub fn may_begin_hello(bytes: &[u8]) -> bool {
    let shared = bytes.len().min(MAGIC.len());
    bytes[..shared] == MAGIC[..shared]
}

/// What one read gave, in pieces that may each be of another connection: hellos at its end, and what is before them.
///
/// A port of kiln's kernel gives with one read all that is there, that of others what the host wrote at once.
pub fn apart(read: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = read;
    while let Some((before, last)) = rest.split_last_chunk::<LENGTH>()
        && last.starts_with(&MAGIC)
    {
        rest = before;
    }
    let (before, hellos) = read.split_at(rest.len());
    (!before.is_empty())
        .then_some(before)
        .into_iter()
        .chain(hellos.chunks(LENGTH))
}

#[cfg(test)]
pub fn greeting(nonce: u8) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes[..12].copy_from_slice(&MAGIC);
    bytes[12..28].copy_from_slice(&[nonce; 16]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hellos_at_the_end_of_a_read_are_apart_from_what_is_before_them() {
        let (one, two) = (greeting(1), greeting(2));
        let read = [b"rest", &one[..], b"x", &one, &two].concat();
        let before = [b"rest", &one[..], b"x"].concat();
        assert_eq!(apart(&read).collect::<Vec<_>>(), [&before[..], &one, &two]);
        assert_eq!(apart(&one).collect::<Vec<_>>(), [&one[..]]);
        assert_eq!(apart(&one[1..]).collect::<Vec<_>>(), [&one[1..]]);
        assert_eq!(apart(b"").count(), 0);
    }
}
