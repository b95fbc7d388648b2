//! Notices a kilnd that is there and does nothing, a stopped process for example: its socket stays open. As
//! `src/sdk/daemon-pulse.ts`.

use std::future::{pending, poll_fn};
use std::task::{Context, Poll};
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::time::sleep;

/// How long a sign of life is waited for.
#[derive(Clone, Copy)]
pub struct Patience {
    /// From an answer to the next question, and between two looks for one.
    pub step: Duration,
    /// Looks in vain until kilnd is given up.
    pub looks: u32,
}

/// Far longer than a host is ever too busy for its daemon.
pub const PATIENCE: Patience = Patience {
    step: Duration::from_secs(5),
    looks: 12,
};

/// What is asked for signs of life. False, of both: the connection has ended, which others tell.
pub trait Pinged {
    fn ask(&mut self) -> bool;
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<bool>;
}

impl Pinged for PingPong {
    fn ask(&mut self) -> bool {
        self.send_ping(Ping::opaque()).is_ok()
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        self.poll_pong(cx).map(|answer| answer.is_ok())
    }
}

/// Asks again and again; returns once no answer comes. Looks are counted, not time: a client that was stopped itself
/// first has to read what has come meanwhile.
pub async fn silence(Patience { step, looks }: Patience, mut pinged: impl Pinged) {
    loop {
        sleep(step).await;
        let mut goes_on = pinged.ask();
        let mut missed = 0;
        while goes_on {
            tokio::select! {
                biased;
                answer = poll_fn(|cx| pinged.poll_answer(cx)) => {
                    goes_on = answer;
                    break;
                }
                () = sleep(step) => missed += 1,
            }
            if missed >= looks {
                return;
            }
        }
        if !goes_on {
            pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten times it answers at the last look, then never.
    #[derive(Default)]
    struct Late {
        asked: u32,
        looks: u32,
    }

    impl Pinged for &mut Late {
        fn ask(&mut self) -> bool {
            self.asked += 1;
            self.looks = 0;
            true
        }

        fn poll_answer(&mut self, _: &mut Context<'_>) -> Poll<bool> {
            self.looks += 1;
            if self.asked <= 10 && self.looks >= 5 {
                Poll::Ready(true)
            } else {
                Poll::Pending
            }
        }
    }

    #[tokio::test]
    async fn costs_nothing_where_kilnd_goes_on_within_the_patience() {
        let patience = Patience {
            step: Duration::from_millis(1),
            looks: 5,
        };
        let mut late = Late::default();
        silence(patience, &mut late).await;
        assert_eq!(late.asked, 11);
    }
}
