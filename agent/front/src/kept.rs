//! What a program has been given and may not have got yet, as `src/sdk/kept-input.ts`: kept until it is known to be
//! taken, to be given again from where it was lost after a connection broke. Pure.

use std::collections::VecDeque;

use bytes::Bytes;

/// Bytes that may be on their way: both ends rely on it, so that nothing else waits behind stdin.
const CREDIT: u64 = 512 << 10;

/// A piece of stdin; None is its end, which counts as one byte.
pub type Piece = Option<Bytes>;

#[derive(Debug, Default)]
pub struct Kept {
    /// Each with where it ends.
    pieces: VecDeque<(u64, Piece)>,
    sent: u64,
    taken: u64,
}

impl Kept {
    pub fn is_full(&self) -> bool {
        self.sent - self.taken >= CREDIT
    }

    pub fn add(&mut self, piece: Piece) {
        self.sent += piece.as_ref().map_or(1, |bytes| bytes.len() as u64);
        self.pieces.push_back((self.sent, piece));
    }

    /// All below this place has arrived.
    pub fn take(&mut self, taken: u64) {
        if taken <= self.taken || taken > self.sent {
            return;
        }
        self.taken = taken;
        self.pieces.retain(|(end, _)| *end > taken);
    }

    /// What has to be given again.
    pub fn missing(&self) -> VecDeque<Piece> {
        let rest = |(end, piece): &(u64, Piece)| {
            let bytes = piece.as_ref()?;
            let begin = end - bytes.len() as u64;
            // Less than the piece: what was taken whole is not here any more.
            let already = usize::try_from(self.taken.saturating_sub(begin)).unwrap_or(0);
            Some(bytes.slice(already..))
        };
        self.pieces.iter().map(rest).collect()
    }

    /// Nothing is ever given again.
    pub fn clear(&mut self) {
        self.pieces.clear();
        self.taken = self.sent;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(words: &[&'static str]) -> Kept {
        let mut kept = Kept::default();
        for word in words {
            kept.add(Some(Bytes::from_static(word.as_bytes())));
        }
        kept.add(None);
        kept
    }

    fn missing(kept: &Kept) -> Vec<Option<String>> {
        let text = |piece: Piece| piece.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
        kept.missing().into_iter().map(text).collect()
    }

    #[test]
    fn gives_again_from_where_it_was_lost() {
        let cases: [(u64, &[Option<&str>]); 6] = [
            (0, &[Some("abc"), Some("de"), None]),
            (2, &[Some("c"), Some("de"), None]),
            (3, &[Some("de"), None]),
            (5, &[None]),
            (6, &[]),
            // More than was ever sent: a peer that makes no sense.
            (7, &[Some("abc"), Some("de"), None]),
        ];
        for (taken, wanted) in cases {
            let mut kept = kept(&["abc", "de"]);
            kept.take(taken);
            let wanted: Vec<_> = wanted.iter().map(|word| word.map(str::to_owned)).collect();
            assert_eq!(missing(&kept), wanted, "{taken} were taken");
        }
    }

    #[test]
    fn never_goes_back() {
        let mut kept = kept(&["abc"]);
        kept.take(3);
        kept.take(1);
        assert_eq!(missing(&kept), [None]);
    }

    #[test]
    fn is_full_at_its_credit_and_has_room_when_some_was_taken() {
        let mut kept = Kept::default();
        for _ in 0..8 {
            assert!(!kept.is_full());
            kept.add(Some(vec![0; 64 << 10].into()));
        }
        assert!(kept.is_full());
        kept.take(1);
        assert!(!kept.is_full());
        kept.clear();
        assert_eq!(missing(&kept), []);
    }
}
