//! What the kernel asks, and what of it the bridge must remember once it is granted.

use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;

use super::fids::Login;
use super::locks::{Lock, Owner};
use super::wire::{self, Fields};

/// A request without an answer.
pub struct Request {
    /// The kernel's tag; `bytes` have the bridge's own.
    pub tag: u16,
    pub bytes: Bytes,
    pub effect: Effect,
    pub touched: Touched,
    /// Its number among all that were ever sent; None where no server can have seen it.
    pub id: Option<u64>,
    pub at: Instant,
}

impl Request {
    pub fn kind(&self) -> u8 {
        wire::kind(&self.bytes)
    }

    /// True for what no request of the kernel stands behind any more.
    pub const fn is_ahead(&self) -> bool {
        matches!(self.effect, Effect::Ahead(_))
    }

    /// No answer to it is longer.
    pub fn longest_answer(&self) -> usize {
        const OTHERS: usize = 8192;
        match self.kind() {
            wire::TREAD | wire::TREADDIR => {
                let mut fields = Fields::of(&self.bytes);
                let count = fields.u32().and(fields.u64()).and(fields.u32()).unwrap_or(0);
                (wire::HEADER + 4).saturating_add(count as usize)
            }
            _ => OTHERS,
        }
    }
}

/// The fids that a request is about: as many as two.
pub type Touched = [Option<u32>; 2];

/// What a request changes when it is granted.
#[derive(Clone, Debug)]
pub enum Effect {
    None,
    Version,
    Attach {
        fid: u32,
        login: Rc<Login>,
    },
    Walk {
        from: u32,
        to: u32,
        names: Vec<Box<[u8]>>,
    },
    Open {
        fid: u32,
        flags: u32,
    },
    Create {
        fid: u32,
        name: Box<[u8]>,
        flags: u32,
    },
    Rename {
        fid: u32,
        into: u32,
        name: Box<[u8]>,
    },
    RenameAt {
        from: u32,
        old: Box<[u8]>,
        into: u32,
        new: Box<[u8]>,
    },
    Unlink {
        directory: u32,
        name: Box<[u8]>,
    },
    Remove(u32),
    Clunk(u32),
    XattrWalk {
        from: u32,
        to: u32,
        name: Box<[u8]>,
    },
    XattrCreate {
        fid: u32,
        name: Box<[u8]>,
        size: u64,
        flags: u32,
    },
    Write(u32),
    Lock {
        fid: u32,
        lock: Lock,
    },
    /// The number of a request.
    Flush(u64),
    /// Nobody waits for its answer.
    Ahead(Ahead),
}

/// A request of which the kernel knows nothing, or whose answer it has.
#[derive(Clone, Copy, Debug)]
pub enum Ahead {
    /// A clunk.
    LetGo,
    /// A walk of no names to this fid.
    Clone(u32),
    /// Attributes of this fid.
    Look,
}

/// Reads a whole request. One that is too short changes nothing: the server will refuse it.
pub fn read(message: &[u8]) -> (Effect, Touched) {
    let (kind, fields) = (wire::kind(message), Fields::of(message));
    let effect = effect(kind, fields.clone()).unwrap_or(Effect::None);
    (effect, touched(kind, fields))
}

fn effect(kind: u8, mut fields: Fields<'_>) -> Option<Effect> {
    let at = &mut fields;
    Some(match kind {
        wire::TVERSION => Effect::Version,
        wire::TATTACH => read_attach(at)?,
        wire::TWALK => read_walk(at)?,
        wire::TLOPEN => Effect::Open {
            fid: at.u32()?,
            flags: at.u32()?,
        },
        wire::TLCREATE => Effect::Create {
            fid: at.u32()?,
            name: at.string()?,
            flags: at.u32()?,
        },
        wire::TRENAME => Effect::Rename {
            fid: at.u32()?,
            into: at.u32()?,
            name: at.string()?,
        },
        wire::TRENAMEAT => {
            let (from, old) = (at.u32()?, at.string()?);
            Effect::RenameAt {
                from,
                old,
                into: at.u32()?,
                new: at.string()?,
            }
        }
        wire::TUNLINKAT => Effect::Unlink {
            directory: at.u32()?,
            name: at.string()?,
        },
        wire::TREMOVE => Effect::Remove(at.u32()?),
        wire::TCLUNK => Effect::Clunk(at.u32()?),
        wire::TXATTRWALK => Effect::XattrWalk {
            from: at.u32()?,
            to: at.u32()?,
            name: at.string()?,
        },
        wire::TXATTRCREATE => {
            let (fid, name) = (at.u32()?, at.string()?);
            Effect::XattrCreate {
                fid,
                name,
                size: at.u64()?,
                flags: at.u32()?,
            }
        }
        wire::TWRITE => Effect::Write(at.u32()?),
        wire::TLOCK => read_lock(at)?,
        _ => Effect::None,
    })
}

fn read_attach(at: &mut Fields<'_>) -> Option<Effect> {
    let (fid, _authenticated) = (at.u32()?, at.u32()?);
    let login = Login {
        user: at.string()?,
        tree: at.string()?,
        uid: at.u32()?,
    };
    Some(Effect::Attach {
        fid,
        login: Rc::new(login),
    })
}

fn read_walk(at: &mut Fields<'_>) -> Option<Effect> {
    let (from, to, count) = (at.u32()?, at.u32()?, at.u16()?);
    let names = (0..count).map(|_| at.string()).collect::<Option<_>>()?;
    Some(Effect::Walk { from, to, names })
}

fn read_lock(at: &mut Fields<'_>) -> Option<Effect> {
    let (fid, kind, _flags) = (at.u32()?, at.u8()?, at.u32()?);
    let (start, length, process) = (at.u64()?, at.u64()?, at.u32()?);
    let client = at.string()?.into();
    let lock = Lock::new(kind, start, length, Owner { process, client });
    Some(Effect::Lock { fid, lock })
}

fn touched(kind: u8, mut at: Fields<'_>) -> Touched {
    let first = match kind {
        wire::TVERSION | wire::TAUTH | wire::TATTACH | wire::TFLUSH => return [None, None],
        _ => at.u32(),
    };
    let second = match kind {
        wire::TRENAME | wire::TLINK => at.u32(),
        wire::TRENAMEAT => at.string().and_then(|_| at.u32()),
        _ => None,
    };
    [first, second]
}

/// True where a server may do it again without harm. What is not is told by Treplay, and looked up by the server.
pub const fn is_repeatable(kind: u8) -> bool {
    !matches!(
        kind,
        wire::TLCREATE
            | wire::TMKDIR
            | wire::TSYMLINK
            | wire::TMKNOD
            | wire::TLINK
            | wire::TRENAME
            | wire::TRENAMEAT
            | wire::TUNLINKAT
            | wire::TREMOVE
            | wire::TXATTRCREATE
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::share::wire::Message;

    #[test]
    fn a_request_that_is_too_short_changes_nothing() {
        let whole = Message::new(wire::TRENAMEAT, 1)
            .u32(3)
            .string(b"a")
            .u32(4)
            .string(b"b")
            .done();
        assert!(matches!(
            read(&whole),
            (Effect::RenameAt { .. }, [Some(3), Some(4)])
        ));
        for length in wire::HEADER..whole.len() {
            assert!(matches!(read(&whole[..length]).0, Effect::None), "{length}");
        }
        for kind in 0..=255 {
            let empty = Message::new(kind, 1).done();
            assert!(matches!(read(&empty).0, Effect::None | Effect::Version));
        }
    }

    #[test]
    fn a_walk_of_more_names_than_there_are_is_none() {
        let walk = Message::new(wire::TWALK, 1)
            .u32(1)
            .u32(2)
            .u16(9)
            .string(b"a")
            .done();
        assert!(matches!(read(&walk).0, Effect::None));
    }
}
