//! What directories of an archive still have to become, once nothing is written into them any more.

use std::collections::BTreeMap;

use super::entry::Entry;

/// Paths and attributes held at once; an archive may name the same directory for ever, or any number of them.
const MOST_HELD: usize = 32 << 20;
/// What each costs beside them.
const OVERHEAD: usize = 256;

/// By path below the root; the last entry of a directory counts.
#[derive(Default)]
pub struct Directories {
    entries: BTreeMap<Vec<u8>, Entry>,
    held: usize,
}

impl Directories {
    pub fn insert(&mut self, path: Vec<u8>, entry: Entry) {
        self.held += cost(&path, &entry);
        let length = path.len();
        if let Some(before) = self.entries.insert(path, entry) {
            self.held -= cost(&vec![0; length], &before);
        }
    }

    pub fn are_too_many(&self) -> bool {
        self.held > MOST_HELD
    }

    /// Takes out all but `path` and those that it lies in: archives come directory by directory, so that nothing more
    /// comes into the others as a rule.
    pub fn take_others(&mut self, path: &[u8]) -> Vec<(Vec<u8>, Entry)> {
        let (kept, others) = std::mem::take(&mut self.entries)
            .into_iter()
            .partition(|(other, _)| lies_in(path, other));
        self.entries = kept;
        self.held = self.entries.iter().map(|(path, entry)| cost(path, entry)).sum();
        deepest_first(others)
    }

    pub fn take_all(&mut self) -> Vec<(Vec<u8>, Entry)> {
        self.held = 0;
        deepest_first(std::mem::take(&mut self.entries))
    }
}

fn deepest_first(entries: BTreeMap<Vec<u8>, Entry>) -> Vec<(Vec<u8>, Entry)> {
    entries.into_iter().rev().collect()
}

/// All lies in the one without a name.
fn lies_in(path: &[u8], directory: &[u8]) -> bool {
    let rest = path.strip_prefix(directory);
    directory.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

fn cost(path: &[u8], entry: &Entry) -> usize {
    let attributes: usize = entry
        .xattrs
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    OVERHEAD + path.len() + entry.path.len() + attributes
}

#[cfg(test)]
mod tests {
    use super::super::entry::Kind;
    use super::*;

    fn large(path: &str, size: usize) -> (Vec<u8>, Entry) {
        let path = path.as_bytes().to_vec();
        let mut entry = Entry::new(path.clone(), Kind::Directory);
        entry.xattrs = vec![(b"user.a".to_vec(), vec![0; size])];
        (path, entry)
    }

    #[test]
    fn hold_one_that_comes_again_and_again_once() {
        let mut all = Directories::default();
        for size in 0..1000 {
            let (path, entry) = large("a", size << 10);
            all.insert(path, entry);
        }
        assert!(!all.are_too_many());
        let taken = all.take_all();
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].1.xattrs[0].1.len(), 999 << 10, "the last one counts");
    }

    #[test]
    fn let_go_of_those_that_are_done() {
        let mut all = Directories::default();
        for name in ["a", "a/b", "a/bc", "d"] {
            let (path, entry) = large(name, 10 << 20);
            all.insert(path, entry);
        }
        assert!(all.are_too_many());
        let others: Vec<_> = all
            .take_others(b"a/b")
            .into_iter()
            .map(|(path, _)| path)
            .collect();
        assert_eq!(others, [b"d".to_vec(), b"a/bc".to_vec()]);
        assert!(!all.are_too_many());
        let rest: Vec<_> = all.take_all().into_iter().map(|(path, _)| path).collect();
        assert_eq!(
            rest,
            [b"a/b".to_vec(), b"a".to_vec()],
            "what lies within comes first"
        );
    }
}
