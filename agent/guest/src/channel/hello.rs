//! The hello: how both ends find the start of a session on a stream that may still hold bytes of the last one.
//!
//! Pure: takes bytes, gives steps. The wire is described in docs/design/0005-channel.md.

/// Length of a hello and of its echo.
pub const LENGTH: usize = 32;
/// The one version there is.
pub const VERSION: u16 = 1;

// An HTTP/2 parser that meets these in place of a frame reads a length of 2^24 - 1 and gives up at once.
const MAGIC: [u8; 8] = *b"\xff\xff\xff\xfeKILN";
const ECHO_MAGIC: [u8; 8] = *b"\xff\xff\xff\xfdKILN";
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    pub version: u16,
    pub nonce: [u8; 16],
}

impl Hello {
    fn parse(bytes: &[u8; LENGTH]) -> Self {
        let mut nonce = [0; 16];
        nonce.copy_from_slice(&bytes[16..]);
        Self {
            version: u16::from_be_bytes([bytes[8], bytes[9]]),
            nonce,
        }
    }

    /// The agent's answer: the same nonce under the other magic, so that a terminal that merely echoes is no agent.
    pub fn echo(&self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[..8].copy_from_slice(&ECHO_MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_be_bytes());
        bytes[16..].copy_from_slice(&self.nonce);
        bytes
    }
}

/// True where `bytes` is one or more hellos and nothing else: what a host sends that waits for an echo.
pub fn is_only_hellos(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.len().is_multiple_of(LENGTH) && bytes.chunks(LENGTH).all(starts_like_hello)
}

/// True where `bytes` begin like a hello.
pub fn starts_like_hello(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// All is read; feed more.
    More,
    /// A hello: echo it (only the last of several in a row needs it).
    Hello(Hello),
    /// HTTP/2 begins with these bytes.
    Start(Vec<u8>),
}

/// Finds hellos in a stream; drops everything else. Holds less than one hello plus what was fed last.
#[derive(Default)]
pub struct Scanner {
    buffer: Vec<u8>,
    greeted: bool,
}

impl Scanner {
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    pub fn step(&mut self) -> Step {
        loop {
            if self.buffer.is_empty() {
                return Step::More;
            }
            if self.greeted && agrees(&self.buffer, PREFACE) {
                if self.buffer.len() < PREFACE.len() {
                    return Step::More;
                }
                self.greeted = false;
                return Step::Start(std::mem::take(&mut self.buffer));
            }
            if agrees(&self.buffer, &MAGIC) {
                let Some(bytes) = self.buffer.first_chunk::<LENGTH>() else {
                    return Step::More;
                };
                let hello = Hello::parse(bytes);
                self.buffer.drain(..LENGTH);
                self.greeted = true;
                return Step::Hello(hello);
            }
            // Bytes of a session that has ended. Nothing before them counts.
            self.greeted = false;
            let next = self.buffer[1..].iter().position(|&byte| byte == MAGIC[0]);
            self.buffer.drain(..next.map_or(self.buffer.len(), |at| at + 1));
        }
    }
}

/// True where one is a prefix of the other.
fn agrees(bytes: &[u8], pattern: &[u8]) -> bool {
    let shared = bytes.len().min(pattern.len());
    bytes[..shared] == pattern[..shared]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(seed: u8) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        bytes.extend_from_slice(&[0; 6]);
        bytes.extend_from_slice(&[seed; 16]);
        bytes
    }

    fn steps(scanner: &mut Scanner, bytes: &[u8]) -> Vec<Step> {
        scanner.feed(bytes);
        let mut seen = Vec::new();
        loop {
            match scanner.step() {
                Step::More => return seen,
                step => {
                    let end = matches!(step, Step::Start(_));
                    seen.push(step);
                    if end {
                        return seen;
                    }
                }
            }
        }
    }

    #[test]
    fn finds_a_hello_behind_stale_bytes() {
        let mut bytes = b"stale \xff\xff\xff\xfeKIL \xff\xff".to_vec();
        bytes.extend(hello(7));
        let seen = steps(&mut Scanner::default(), &bytes);
        assert_eq!(
            seen,
            [Step::Hello(Hello {
                version: 1,
                nonce: [7; 16]
            })]
        );
    }

    #[test]
    fn finds_a_hello_fed_byte_by_byte() {
        let mut scanner = Scanner::default();
        let mut seen = Vec::new();
        for byte in [b"x\xff\xff".to_vec(), hello(3)].concat() {
            seen.extend(steps(&mut scanner, &[byte]));
        }
        assert_eq!(seen.len(), 1);
    }

    #[test]
    fn starts_http2_after_repeated_hellos() {
        let bytes = [hello(1), hello(1), PREFACE.to_vec(), vec![0, 0, 0, 4]].concat();
        let seen = steps(&mut Scanner::default(), &bytes);
        assert_eq!(seen.len(), 3);
        assert_eq!(
            seen[2],
            Step::Start([PREFACE.to_vec(), vec![0, 0, 0, 4]].concat())
        );
    }

    #[test]
    fn takes_no_preface_without_a_hello() {
        assert_eq!(steps(&mut Scanner::default(), PREFACE), []);
    }

    #[test]
    fn forgets_a_hello_that_garbage_follows() {
        let bytes = [hello(1), b"garbage".to_vec(), PREFACE.to_vec()].concat();
        assert_eq!(steps(&mut Scanner::default(), &bytes).len(), 1);
    }

    #[test]
    fn never_holds_garbage() {
        let mut scanner = Scanner::default();
        for _ in 0..1000 {
            steps(&mut scanner, &[0xff; 4096]);
        }
        assert!(scanner.buffer.len() < LENGTH);
    }

    #[test]
    fn echoes_the_nonce_under_another_magic() {
        let echo = Hello {
            version: 9,
            nonce: [5; 16],
        }
        .echo();
        assert_eq!(&echo[..10], b"\xff\xff\xff\xfdKILN\x00\x01");
        assert_eq!(echo[16..], [5; 16]);
    }

    #[test]
    fn tells_lone_hellos_from_data_that_holds_one() {
        assert!(is_only_hellos(&[hello(1), hello(2)].concat()));
        assert!(!is_only_hellos(&[hello(1), b"more".to_vec()].concat()));
        assert!(!is_only_hellos(b""));
    }
}
