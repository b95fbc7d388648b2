//! Those who write to a program's stdin by a name of their own, and how far each has come: one whose session broke goes on
//! where it was.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

const MAX_WRITERS: usize = 64;

/// The latest last.
#[derive(Default)]
pub struct Writers(RefCell<VecDeque<(String, Rc<Cell<u64>>)>>);

impl Writers {
    /// What a writer has given so far, its end counted as one more. Of many writers the oldest are forgotten.
    pub fn taken(&self, name: &str) -> Rc<Cell<u64>> {
        let mut writers = self.0.borrow_mut();
        let known = writers.iter().position(|(known, _)| known == name);
        let writer = known
            .and_then(|at| writers.remove(at))
            .unwrap_or_else(|| (name.to_owned(), Rc::default()));
        let taken = writer.1.clone();
        writers.push_back(writer);
        if writers.len() > MAX_WRITERS {
            writers.pop_front();
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_writer_goes_on_where_it_was_and_the_oldest_are_forgotten() {
        let writers = Writers::default();
        writers.taken("first").set(7);
        writers.taken("second").set(9);
        assert_eq!(
            (writers.taken("first").get(), writers.taken("second").get()),
            (7, 9)
        );
        for name in 0..MAX_WRITERS {
            writers.taken(&name.to_string());
        }
        assert_eq!(writers.taken("first").get(), 0);
    }
}
