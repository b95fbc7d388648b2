//! Processes by the host's ids: each, or its start, until the host knows how it ended. An exec that nobody attends any more
//! is ended; an extra program is not.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::in_tests;
use super::kept::Kept;
use crate::grpc::status::{Code, Result, Status};
use crate::once::Once;
use crate::process::plan::StartFailure;

const MOST_EXECS: usize = 512;
const MOST_EXTRAS: usize = 64;
const ID_LENGTHS: std::ops::RangeInclusive<usize> = 16..=64;
/// Longer than any client tries to bring its kilnd back.
const UNATTENDED: Duration = Duration::from_secs(90);

/// How a start went: the process, or why there is none.
pub type Outcome = std::result::Result<Rc<Kept>, StartFailure>;

/// All of one kind, by id.
pub struct Slots {
    all: RefCell<BTreeMap<String, Rc<Slot>>>,
    most: usize,
    noun: &'static str,
}

/// One id: from before its process is started, so that a second start of it waits for the first.
pub struct Slot {
    outcome: Once<Outcome>,
    /// Nobody wants it any more: what its start brings about is killed, for no map knows it.
    ended: watch::Sender<bool>,
    calls: Cell<usize>,
    /// Counts changes of `calls`: tells a timer whether anybody came meanwhile.
    turn: Cell<u64>,
}

impl Slots {
    pub fn execs() -> Self {
        Self::new(MOST_EXECS, "exec")
    }

    pub fn extras() -> Self {
        Self::new(MOST_EXTRAS, "workload")
    }

    fn new(most: usize, noun: &'static str) -> Self {
        Self {
            all: RefCell::default(),
            most,
            noun,
        }
    }

    /// The slot of the id, and whether it is new: then the caller has to start the process.
    pub fn take(&self, id: &str) -> Result<(Rc<Slot>, bool)> {
        if !ID_LENGTHS.contains(&id.len()) {
            return Err(Status::invalid(format!(
                "an id of {}s has 16 to 64 bytes",
                self.noun
            )));
        }
        let mut all = self.all.borrow_mut();
        if let Some(slot) = all.get(id) {
            return Ok((slot.clone(), false));
        }
        if all.len() >= self.most {
            let text = format!("{} {}s are kept already", self.most, self.noun);
            return Err(Status::new(Code::ResourceExhausted, text));
        }
        let slot = Rc::new(Slot {
            outcome: Once::default(),
            ended: watch::Sender::new(false),
            calls: Cell::new(0),
            turn: Cell::new(0),
        });
        all.insert(id.to_owned(), slot.clone());
        Ok((slot, true))
    }

    pub fn find(&self, id: &str) -> Result<Rc<Slot>> {
        let found = self.all.borrow().get(id).cloned();
        found.ok_or_else(|| Status::new(Code::NotFound, format!("there is no such {}", self.noun)))
    }

    pub fn knows(&self, id: &str) -> bool {
        self.all.borrow().contains_key(id)
    }

    pub fn list(&self) -> Vec<(String, Rc<Slot>)> {
        let all = self.all.borrow();
        all.iter().map(|(id, slot)| (id.clone(), slot.clone())).collect()
    }

    /// Kills what still runs of it, or will, and forgets it.
    pub fn end(&self, id: &str) {
        let Some(slot) = self.all.borrow_mut().remove(id) else {
            return;
        };
        slot.ended.send_replace(true);
        if let Some(Ok(kept)) = slot.outcome.get() {
            kept.give_up();
        }
    }

    fn holds(&self, id: &str, slot: &Rc<Slot>) -> bool {
        self.all
            .borrow()
            .get(id)
            .is_some_and(|held| Rc::ptr_eq(held, slot))
    }
}

impl Slot {
    /// Runs the start, gives it up where the slot is ended meanwhile, and tells everybody who waits how it went.
    pub async fn settle(&self, start: impl Future<Output = Outcome>) {
        let mut ended = self.ended.subscribe();
        let outcome = tokio::select! {
            biased;
            // Dropped, the start takes its process along.
            _ = ended.wait_for(|&ended| ended) => Err(StartFailure::cannot("it was ended before it had started")),
            outcome = start => outcome,
        };
        self.outcome.set(outcome);
    }

    pub async fn outcome(&self) -> Outcome {
        self.outcome.wait().await
    }

    /// None while it is being started.
    pub fn outcome_yet(&self) -> Option<Outcome> {
        self.outcome.get()
    }
}

/// A call that attends to an exec, for as long as this lives. With the last of them its time begins to run.
pub struct Attendance {
    all: Rc<Slots>,
    id: String,
    slot: Rc<Slot>,
}

impl Attendance {
    pub fn begin(all: Rc<Slots>, id: String, slot: Rc<Slot>) -> Self {
        slot.calls.set(slot.calls.get() + 1);
        slot.turn.set(slot.turn.get() + 1);
        Self { all, id, slot }
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        let slot = self.slot.clone();
        slot.calls.set(slot.calls.get() - 1);
        slot.turn.set(slot.turn.get() + 1);
        let turn = slot.turn.get();
        let (all, id) = (self.all.clone(), std::mem::take(&mut self.id));
        if slot.calls.get() > 0 || !all.holds(&id, &slot) {
            return;
        }
        spawn_local(async move {
            sleep(unattended()).await;
            if slot.turn.get() == turn && all.holds(&id, &slot) {
                all.end(&id);
            }
        });
    }
}

fn unattended() -> Duration {
    in_tests("KILN_TEST_UNATTENDED_MS").unwrap_or(UNATTENDED)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "an-id-nobody-guesses";

    #[tokio::test]
    async fn a_start_that_is_ended_meanwhile_is_given_up() {
        let kept = Slots::execs();
        let (slot, new) = kept.take(ID).unwrap();
        assert!(new);
        let started = Rc::new(());
        let held = started.clone();
        let start = async move {
            let _held = held;
            std::future::pending::<Outcome>().await
        };
        let settling = slot.settle(start);
        kept.end(ID);
        settling.await;
        assert_eq!(Rc::strong_count(&started), 1, "the start was dropped");
        let Err(failure) = slot.outcome().await else {
            panic!("it was adopted");
        };
        assert!(failure.text.contains("ended before"), "{}", failure.text);
        assert!(kept.find(ID).is_err());
    }
}
