//! Where a file may be after a server died over renames that it had not answered: each may have been done or not.

use super::fids::{Path, moved};

/// Renames under way at once are few. What lies behind more of them is stale at worst.
const MOST: usize = 16;

/// A rename that may have been done.
pub struct Move {
    number: u64,
    /// Before and after, by the paths of now, and as earlier ones may have changed those.
    forms: Vec<(Path, Path)>,
}

/// A place where a file may be, and by which renames.
#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    pub path: Path,
    pub moved_by: Vec<u64>,
}

/// @param renames number, old and new path of each, in the order in which they were asked
pub fn moves(renames: impl Iterator<Item = (u64, Path, Path)>) -> Vec<Move> {
    let mut moves: Vec<Move> = Vec::new();
    for (number, old, new) in renames {
        let mut forms = vec![(old, new)];
        for (from, to) in moves.iter().flat_map(|earlier| &earlier.forms) {
            let changed = |path: &Path| moved(path, from, to).unwrap_or_else(|| path.clone());
            let more: Vec<_> = forms
                .iter()
                .map(|(old, new)| (changed(old), changed(new)))
                .collect();
            forms.extend(more);
            forms.dedup();
            forms.truncate(MOST);
        }
        moves.push(Move { number, forms });
    }
    moves
}

/// The likeliest first: where it was, then the more renames the later.
pub fn places(path: &Path, moves: &[Move]) -> Vec<Place> {
    let mut places = vec![Place {
        path: path.clone(),
        moved_by: Vec::new(),
    }];
    for one in moves {
        for index in 0..places.len() {
            for (old, new) in &one.forms {
                let Some(path) = moved(&places[index].path, old, new) else {
                    continue;
                };
                if places.len() < MOST && places.iter().all(|place| place.path != path) {
                    let moved_by = [&places[index].moved_by[..], &[one.number]].concat();
                    places.push(Place { path, moved_by });
                }
            }
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        text.split('/').map(|name| name.as_bytes().into()).collect()
    }

    fn found(renames: &[(&str, &str)], start: &str) -> Vec<(Path, Vec<u64>)> {
        let renames = (1..)
            .zip(renames)
            .map(|(number, (old, new))| (number, path(old), path(new)));
        let moves = moves(renames);
        places(&path(start), &moves)
            .into_iter()
            .map(|place| (place.path, place.moved_by))
            .collect()
    }

    #[test]
    fn follows_a_file_whose_directory_moves_too() {
        for renames in [[("d", "e"), ("d/a", "d/b")], [("d/a", "d/b"), ("d", "e")]] {
            let found = found(&renames, "d/a");
            assert_eq!(found[0], (path("d/a"), vec![]));
            assert!(found.contains(&(path("e/b"), vec![1, 2])), "{found:?}");
        }
        assert_eq!(found(&[("x", "y")], "d/a").len(), 1);
    }

    #[test]
    fn has_a_bound() {
        let names: Vec<String> = (0..40).map(|number| format!("d{number}")).collect();
        let renames: Vec<_> = names.windows(2).map(|pair| (&*pair[0], &*pair[1])).collect();
        let all: Vec<_> = renames.iter().chain(&renames).copied().collect();
        assert_eq!(found(&all, "d0/a").len(), MOST);
    }
}
