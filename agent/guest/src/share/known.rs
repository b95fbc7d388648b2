//! Attributes that the server has told of before the kernel has asked (`ahead`).

use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::request::Touched;
use super::wire;

/// Attributes for which the kernel did not ask at once are another call's.
const FRESH: Duration = Duration::from_millis(20);
/// Walks whose attributes are known or asked for; more are forgotten.
const MOST: usize = 16;

struct Entry {
    fid: u32,
    /// Of the request that asks for them.
    number: u64,
    answer: Option<(BytesMut, Instant)>,
}

/// Attributes that the kernel has not asked for yet.
#[derive(Default)]
pub struct Known(Vec<Entry>);

impl Known {
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Behind a walk to the fid goes the request of this number.
    pub fn expect(&mut self, fid: u32, number: u64) {
        if self.0.len() >= MOST {
            self.0.remove(0);
        }
        self.0.push(Entry {
            fid,
            number,
            answer: None,
        });
    }

    pub fn learn(&mut self, number: u64, answer: BytesMut, now: Instant) {
        if let Some(entry) = self.0.iter_mut().find(|entry| entry.number == number) {
            entry.answer = Some((answer, now));
        }
    }

    /// The answer to a request, where it asks for what is known. Whatever else the kernel asks of a fid makes its
    /// attributes old, and whatever changes something all of them.
    pub fn answer(&mut self, kind: u8, touched: Touched, now: Instant) -> Option<BytesMut> {
        if self.0.is_empty() {
            return None;
        }
        if !is_look(kind) {
            self.0.clear();
            return None;
        }
        let fid = touched[0]?;
        let at = self.0.iter().position(|entry| entry.fid == fid)?;
        let (answer, since) = self.0.remove(at).answer?;
        (kind == wire::TGETATTR && now < since + FRESH).then_some(answer)
    }
}

/// True for what changes nothing.
const fn is_look(kind: u8) -> bool {
    matches!(
        kind,
        wire::TWALK | wire::TGETATTR | wire::TCLUNK | wire::TREAD | wire::TREADDIR | wire::TREADLINK
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(now: Instant) -> Known {
        let mut known = Known::default();
        for (fid, number) in [(1, 10), (2, 20)] {
            known.expect(fid, number);
            known.learn(number, BytesMut::from(&[fid as u8][..]), now);
        }
        known
    }

    #[test]
    fn attributes_are_given_once_and_only_for_what_was_walked_last() {
        let now = Instant::now();
        let mut known = known(now);
        let mut ask = |kind, fid| known.answer(kind, [Some(fid), None], now).map(|answer| answer[0]);
        assert_eq!(ask(wire::TGETATTR, 2), Some(2));
        assert_eq!(ask(wire::TGETATTR, 2), None);
        assert_eq!(ask(wire::TCLUNK, 1), None);
        assert_eq!(ask(wire::TGETATTR, 1), None, "it is another of that number");
    }

    #[test]
    fn whatever_changes_something_makes_all_of_them_old_and_time_does() {
        let now = Instant::now();
        let mut changed = known(now);
        assert_eq!(changed.answer(wire::TWRITE, [Some(9), None], now), None);
        assert_eq!(changed.answer(wire::TGETATTR, [Some(1), None], now), None);
        let late = now + FRESH;
        assert_eq!(known(now).answer(wire::TGETATTR, [Some(1), None], late), None);
    }

    #[test]
    fn an_answer_to_an_earlier_walk_is_not_the_later_ones() {
        let now = Instant::now();
        let mut known = Known::default();
        known.expect(1, 10);
        assert_eq!(known.answer(wire::TCLUNK, [Some(1), None], now), None);
        known.expect(1, 11);
        known.learn(10, BytesMut::new(), now);
        assert_eq!(known.answer(wire::TGETATTR, [Some(1), None], now), None);
    }

    #[test]
    fn no_more_than_some_are_kept() {
        let now = Instant::now();
        let mut known = Known::default();
        for number in 0..100 {
            known.expect(number, number.into());
        }
        assert_eq!(known.0.len(), MOST);
        known.learn(99, BytesMut::new(), now);
        assert!(known.answer(wire::TGETATTR, [Some(99), None], now).is_some());
    }
}
