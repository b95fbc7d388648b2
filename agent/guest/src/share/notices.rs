//! What the host has changed, as the server tells it: names that wait to be touched in the guest, so that its programs
//! hear of them (inotify), and the touch itself, which never reaches the server.

use std::collections::VecDeque;

use super::wire::{self, Fields};

/// What comes while so many wait is not told: a hint may be lost.
const MOST: usize = 1024;
/// Among so many of the last a name is looked for.
const LOOKED_AT: usize = 64;
/// PATH_MAX.
const LONGEST: usize = 4096;

/// Of a Tsetattr that sets the time of the last change, to a time that is given, and nothing else.
const VALID_MTIME_SET: u32 = 0x20 | 0x40 | 0x100;

/// A time of the last change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mtime {
    pub seconds: i64,
    pub nanoseconds: u32,
}

#[derive(Default)]
pub struct Notices {
    is_wanted: bool,
    waiting: VecDeque<Box<[u8]>>,
    own: Option<Mtime>,
}

impl Notices {
    pub fn want(&mut self) {
        self.is_wanted = true;
    }

    pub const fn is_wanted(&self) -> bool {
        self.is_wanted
    }

    /// Takes a message of the server: path[s] from the share's root. One that is none is as good as lost.
    pub fn take(&mut self, message: &[u8]) {
        let path = Fields::of(message).string().filter(|path| is_path(path));
        let Some(path) = path.filter(|_| self.is_wanted && self.waiting.len() < MOST) else {
            return;
        };
        if !self
            .waiting
            .iter()
            .rev()
            .take(LOOKED_AT)
            .any(|known| *known == path)
        {
            self.waiting.push_back(path);
        }
    }

    /// The next that is to be touched.
    pub fn next(&mut self) -> Option<Box<[u8]>> {
        self.waiting.pop_front()
    }

    /// A file is about to get the time that it has, for its event alone.
    pub fn expect(&mut self, mtime: Mtime) {
        self.own = Some(mtime);
    }

    /// It was done, or failed.
    pub fn expect_none(&mut self) {
        self.own = None;
    }

    /// True for the request that was expected. Another's that is the same would change nothing either.
    pub fn is_own(&self, message: &[u8]) -> bool {
        let own = self.own.filter(|_| wire::kind(message) == wire::TSETATTR);
        own.is_some_and(|own| set_mtime(Fields::of(message)).is_some_and(|asked| is_same(asked, own)))
    }
}

/// What is set by a Tsetattr that sets nothing else: fid[4] valid[4] mode[4] uid[4] gid[4] size[8] atime[8+8] mtime[8+8].
fn set_mtime(mut at: Fields<'_>) -> Option<Mtime> {
    let valid = at.u32().and(at.u32())?;
    at.u32().and(at.u32()).and(at.u32())?;
    at.u64().and(at.u64()).and(at.u64())?;
    let mtime = Mtime {
        seconds: at.u64()?.cast_signed(),
        nanoseconds: u32::try_from(at.u64()?).ok()?,
    };
    (valid == VALID_MTIME_SET).then_some(mtime)
}

/// Kernels whose 9p is not told that times have nanoseconds cut them off.
const fn is_same(asked: Mtime, own: Mtime) -> bool {
    asked.seconds == own.seconds && (asked.nanoseconds == own.nanoseconds || asked.nanoseconds == 0)
}

fn is_path(path: &[u8]) -> bool {
    let is_name = |name: &[u8]| !matches!(name, b"" | b"." | b"..") && !name.contains(&0);
    path.len() < LONGEST && path.split(|&byte| byte == b'/').all(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::share::wire::Message;

    fn notice(path: &[u8]) -> bytes::Bytes {
        Message::new(wire::NOTICE, wire::NO_TAG).string(path).done()
    }

    fn wanted() -> Notices {
        let mut notices = Notices::default();
        notices.want();
        notices
    }

    fn set(valid: u32, seconds: u64, nanoseconds: u64) -> bytes::Bytes {
        let message = Message::new(wire::TSETATTR, 1).u32(7).u32(valid);
        let message = message.u32(0).u32(0).u32(0).u64(0).u64(0).u64(0);
        message.u64(seconds).u64(nanoseconds).done()
    }

    #[test]
    fn gives_each_name_once_and_no_more_than_can_wait() {
        let mut notices = wanted();
        for _ in 0..2 {
            notices.take(&notice(b"a/b"));
            notices.take(&notice(b"c\xff"));
        }
        assert_eq!(notices.next().as_deref(), Some(&b"a/b"[..]));
        assert_eq!(notices.next().as_deref(), Some(&b"c\xff"[..]));
        assert_eq!(notices.next(), None);
        for number in 0..MOST * 2 {
            notices.take(&notice(number.to_string().as_bytes()));
        }
        assert_eq!(std::iter::from_fn(|| notices.next()).count(), MOST);
    }

    #[test]
    fn takes_no_way_out_of_the_share_and_nothing_that_nobody_wants() {
        let mut notices = wanted();
        for path in [
            &b""[..],
            b"/a",
            b"a//b",
            b"a/",
            b"..",
            b"a/../../b",
            b".",
            b"a\0b",
            &[b'a'; 4096],
        ] {
            notices.take(&notice(path));
        }
        notices.take(&notice(b"cut")[..wire::HEADER + 3]);
        notices.take(&Message::new(wire::NOTICE, 0).done());
        assert_eq!(notices.next(), None);
        let mut unwanted = Notices::default();
        unwanted.take(&notice(b"a"));
        assert_eq!(unwanted.next(), None);
    }

    #[test]
    fn knows_its_own_touch_and_no_other() {
        let mut notices = wanted();
        let mtime = Mtime {
            seconds: -3,
            nanoseconds: 5,
        };
        let same = (-3_i64).cast_unsigned();
        assert!(!notices.is_own(&set(VALID_MTIME_SET, same, 5)));
        notices.expect(mtime);
        assert!(notices.is_own(&set(VALID_MTIME_SET, same, 5)));
        assert!(
            notices.is_own(&set(VALID_MTIME_SET, same, 0)),
            "cut by the kernel"
        );
        for other in [
            set(VALID_MTIME_SET, same, 6),
            set(VALID_MTIME_SET, 3, 5),
            set(VALID_MTIME_SET | 1, same, 5),
            set(0x60, same, 5),
            set(VALID_MTIME_SET, same, 1 << 40 | 5),
            set(VALID_MTIME_SET, same, 5).slice(..60),
        ] {
            assert!(!notices.is_own(&other));
        }
        notices.expect_none();
        assert!(!notices.is_own(&set(VALID_MTIME_SET, same, 5)));
    }
}
