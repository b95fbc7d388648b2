//! Calls of the file system, on threads beside the agent's own: a path of the guest may lead to a FIFO, or to a FUSE
//! whose daemon hangs, and the one thread that serves everything must never wait there.
//!
//! A thread that is stuck can't be ended, so there are never more than so many of a kind. What is brief waits for a place
//! while places come free; who comes to threads that are all stuck is told so.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::grpc::status::{Code, Result, Status};

/// Longer than a disk under load takes for one look; shorter than a caller's patience.
const PATIENCE: Duration = Duration::from_secs(10);

/// Threads of one kind. All kinds together stay far below what tokio has (512).
pub struct Threads {
    kind: &'static str,
    most: usize,
    /// With what is brief.
    patience: Duration,
    places: Semaphore,
    /// Bodies that came to their end: while there are more and more of them, nothing is stuck for good.
    ended: AtomicUsize,
}

/// A look at a path, a look-up of a user, a connection: over in no time, or stuck.
pub static LOOKS: Threads = Threads::new("look-ups of paths", 48, PATIENCE);
/// sync(2) waits for every file system, also for one that hangs.
pub static SYNCS: Threads = Threads::new("syncs", 8, PATIENCE);
/// Archives, and whatever else goes through a whole tree: as long as its call.
pub static WORK: Threads = Threads::new("archives and walks", 192, PATIENCE);
/// As long as its call, and mostly asleep.
pub static WATCHES: Threads = Threads::new("watches", 128, PATIENCE);

/// True while the agent has a fork before it that only a process of one thread survives whole.
static ALONE_SOON: AtomicBool = AtomicBool::new(false);

/// From now on (or no more) a thread ends with its work: tokio's own stay for a while, and know nothing of a fork.
pub fn leave_no_threads(leave: bool) {
    ALONE_SOON.store(leave, Ordering::Relaxed);
}

pub fn leaves_no_threads() -> bool {
    ALONE_SOON.load(Ordering::Relaxed)
}

struct Busy {
    threads: &'static Threads,
    _place: SemaphorePermit<'static>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.threads.ended.fetch_add(1, Ordering::Relaxed);
    }
}

impl Threads {
    const fn new(kind: &'static str, most: usize, patience: Duration) -> Self {
        Self {
            kind,
            most,
            patience,
            places: Semaphore::const_new(most),
            ended: AtomicUsize::new(0),
        }
    }

    fn enter(&'static self) -> Result<Busy> {
        let place = self.places.try_acquire().map_err(|_| self.full())?;
        Ok(self.taken(place))
    }

    /// Waits for a place, in the order of asking, for as long as others' bodies end.
    async fn enter_in_turn(&'static self) -> Result<Busy> {
        let mut place = pin!(self.places.acquire());
        loop {
            let ended = self.ended.load(Ordering::Relaxed);
            match timeout(self.patience, place.as_mut()).await {
                Ok(Ok(place)) => return Ok(self.taken(place)),
                Err(_) if self.ended.load(Ordering::Relaxed) != ended => {}
                _ => return Err(self.full()),
            }
        }
    }

    fn taken(&'static self, place: SemaphorePermit<'static>) -> Busy {
        Busy {
            threads: self,
            _place: place,
        }
    }

    fn full(&self) -> Status {
        let text = format!(
            "{} {} are under way in the guest and do not end",
            self.most, self.kind
        );
        Status::new(Code::ResourceExhausted, text)
    }

    /// Begins on a thread; the place is given back when the body ends, whoever waits for it.
    pub fn begin<T: Send + 'static>(
        &'static self,
        body: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<impl Future<Output = Result<T>> + Unpin> {
        self.begin_in(self.enter()?, body)
    }

    fn begin_in<T: Send + 'static>(
        &'static self,
        busy: Busy,
        body: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<impl Future<Output = Result<T>> + Unpin> {
        let (done, outcome) = oneshot::channel();
        let work = move || {
            let result = {
                let _busy = busy;
                body()
            };
            // Refused where nobody waits any more.
            let _ = done.send(result);
        };
        if leaves_no_threads() {
            std::thread::Builder::new()
                .spawn(work)
                .map_err(|error| Status::from_io("begin a thread", error))?;
        } else {
            spawn_blocking(work);
        }
        Ok(Box::pin(async move {
            outcome
                .await
                .unwrap_or_else(|_| Err(Status::internal("it broke off")))
        }))
    }

    /// Runs on a thread, to its end.
    pub async fn run<T: Send + 'static>(
        &'static self,
        body: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.begin(body)?.await
    }

    /// Runs on a thread, when its turn comes, and gives it up when it takes too long: then it is stuck.
    pub async fn briefly<T: Send + 'static>(
        &'static self,
        body: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let text = "the guest's file system does not answer";
        let begun = self.begin_in(self.enter_in_turn().await?, body)?;
        match timeout(self.patience, begun).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Status::new(Code::DeadlineExceeded, text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn says_what_became_of_a_thread_that_ends_with_its_work() {
        static FEW: Threads = Threads::new("tests of threads", 1, PATIENCE);
        leave_no_threads(true);
        let name = FEW.run(|| Ok(std::thread::current().name().is_none())).await;
        let refused = FEW.run(|| Err::<(), _>(Status::invalid("no"))).await;
        leave_no_threads(false);
        assert_eq!(name, Ok(true), "tokio's have names");
        assert_eq!(refused.unwrap_err().message, "no");
    }

    #[tokio::test]
    async fn has_no_more_threads_stuck_than_it_may() {
        static FEW: Threads = Threads::new("tests", 2, PATIENCE);
        let (free, stuck) = mpsc::channel::<()>();
        let (other_free, other_stuck) = mpsc::channel::<()>();
        let wait = |on: mpsc::Receiver<()>| move || Ok(on.recv().is_ok());
        let first = FEW.begin(wait(stuck)).unwrap();
        // Whose caller has given up: its thread is stuck all the same.
        drop(FEW.begin(wait(other_stuck)).unwrap());
        let refused = FEW.run(|| Ok(())).await.unwrap_err();
        assert_eq!(refused.code, Code::ResourceExhausted);
        assert!(refused.message.contains("2 tests"), "{}", refused.message);
        free.send(()).unwrap();
        assert_eq!(first.await, Ok(true));
        assert_eq!(FEW.run(|| Ok(7)).await, Ok(7));
        drop(other_free);
    }

    #[tokio::test]
    async fn lets_what_is_brief_wait_for_a_place_while_places_come_free() {
        static ONE: Threads = Threads::new("brief tests", 1, Duration::from_millis(50));
        let (free, stuck) = mpsc::channel::<()>();
        let first = ONE.begin(move || Ok(stuck.recv().is_ok())).unwrap();
        // Asked for before the place is free.
        let (second, third, ()) = tokio::join!(ONE.briefly(|| Ok(2)), ONE.briefly(|| Ok(3)), async {
            free.send(()).unwrap()
        });
        assert_eq!((second, third), (Ok(2), Ok(3)));
        assert_eq!(first.await, Ok(true));
        let (other_free, other_stuck) = mpsc::channel::<()>();
        drop(ONE.begin(move || Ok(other_stuck.recv().is_ok())).unwrap());
        let refused = ONE.briefly(|| Ok(())).await.unwrap_err();
        assert_eq!(refused.code, Code::ResourceExhausted);
        drop(other_free);
    }
}
