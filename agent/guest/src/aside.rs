//! Calls of the file system, on threads beside the agent's own: a path of the guest may lead to a FIFO, or to a FUSE
//! whose daemon hangs, and the one thread that serves everything must never wait there.
//!
//! A thread that is stuck can't be ended, so there are never more than so many of a kind; who comes then is told so.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::grpc::status::{Code, Result, Status};

/// Longer than a disk under load takes for one look; shorter than a caller's patience.
const PATIENCE: Duration = Duration::from_secs(10);

/// Threads of one kind. All kinds together stay far below what tokio has (512).
pub struct Threads {
    kind: &'static str,
    most: usize,
    busy: AtomicUsize,
}

/// A look at a path, a look-up of a user, a connection: over in no time, or stuck.
pub static LOOKS: Threads = Threads::new("look-ups of paths", 48);
/// sync(2) waits for every file system, also for one that hangs.
pub static SYNCS: Threads = Threads::new("syncs", 8);
/// Archives, and whatever else goes through a whole tree: as long as its call.
pub static WORK: Threads = Threads::new("archives and walks", 192);
/// As long as its call, and mostly asleep.
pub static WATCHES: Threads = Threads::new("watches", 128);

/// True while the agent has a fork before it that only a process of one thread survives whole.
static ALONE_SOON: AtomicBool = AtomicBool::new(false);

/// From now on (or no more) a thread ends with its work: tokio's own stay for a while, and know nothing of a fork.
pub fn leave_no_threads(leave: bool) {
    ALONE_SOON.store(leave, Ordering::Relaxed);
}

pub fn leaves_no_threads() -> bool {
    ALONE_SOON.load(Ordering::Relaxed)
}

struct Busy(&'static Threads);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Threads {
    const fn new(kind: &'static str, most: usize) -> Self {
        Self {
            kind,
            most,
            busy: AtomicUsize::new(0),
        }
    }

    fn enter(&'static self) -> Result<Busy> {
        let entered = self
            .busy
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |busy| {
                (busy < self.most).then_some(busy + 1)
            });
        match entered {
            Ok(_) => Ok(Busy(self)),
            Err(most) => Err(Status::new(
                Code::ResourceExhausted,
                format!("{most} {} are under way in the guest and do not end", self.kind),
            )),
        }
    }

    /// Begins on a thread; the place is given back when the body ends, whoever waits for it.
    pub fn begin<T: Send + 'static>(
        &'static self,
        body: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<impl Future<Output = Result<T>> + Unpin> {
        let busy = self.enter()?;
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

    /// Runs on a thread, and gives it up when it takes too long: then it is stuck.
    pub async fn briefly<T: Send + 'static>(
        &'static self,
        body: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let text = "the guest's file system does not answer";
        let begun = self.begin(body)?;
        match timeout(PATIENCE, begun).await {
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
        static FEW: Threads = Threads::new("tests of threads", 1);
        leave_no_threads(true);
        let name = FEW.run(|| Ok(std::thread::current().name().is_none())).await;
        let refused = FEW.run(|| Err::<(), _>(Status::invalid("no"))).await;
        leave_no_threads(false);
        assert_eq!(name, Ok(true), "tokio's have names");
        assert_eq!(refused.unwrap_err().message, "no");
    }

    #[tokio::test]
    async fn has_no_more_threads_stuck_than_it_may() {
        static FEW: Threads = Threads::new("tests", 2);
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
}
