//! A kilnd that has gone away: how long it is waited for, and the way back to it. As `src/sdk/outage.ts` and
//! `src/sdk/kiln.ts`.

use std::io::ErrorKind;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};

use crate::package::Package;
use crate::trust::{Me, is_trusted};

/// How long it is tried to bring kilnd back. The guests' agents keep what ran for longer.
const OUTAGE: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Whoever looks after kilnd brings it back first: systemd, an upgrade.
const RETURN: Duration = Duration::from_secs(1);
const RETURN_STEP: Duration = Duration::from_millis(25);

/// Why there is no connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Miss {
    /// Nobody listened for all that time.
    Deserted,
    /// Somebody might, who is not for us.
    Refused,
}

/// One outage, from the moment that it was seen.
pub struct Outage {
    deadline: Instant,
    pause: Duration,
}

impl Outage {
    pub fn begin() -> Self {
        Self {
            deadline: Instant::now() + OUTAGE,
            pause: FIRST_PAUSE,
        }
    }

    /// Until it is given up.
    pub fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// The next connection that can be had, after a pause.
    pub async fn reach(&mut self, way: &mut Way<'_>) -> Result<UnixStream, Miss> {
        loop {
            if self.left() <= self.pause {
                return Err(Miss::Deserted);
            }
            sleep(self.pause).await;
            self.pause = LONGEST_PAUSE.min(self.pause * 2);
            if let Some(stream) = way.dial_patiently().await? {
                return Ok(stream);
            }
        }
    }
}

/// How to get to kilnd once more.
pub struct Way<'a> {
    pub socket: &'a str,
    pub me: Me,
    /// What may start it: where nobody named the socket.
    pub package: Option<&'a Package>,
    pub starter: Option<Child>,
}

impl Way<'_> {
    /// Dials until somebody listens, for a while; then has kilnd started, if that is ours to do.
    async fn dial_patiently(&mut self) -> Result<Option<UnixStream>, Miss> {
        let end = Instant::now() + RETURN;
        loop {
            if let Some(stream) = self.dial().await? {
                return Ok(Some(stream));
            }
            if Instant::now() >= end {
                self.start();
                return Ok(None);
            }
            sleep(RETURN_STEP).await;
        }
    }

    /// None where nobody listens.
    async fn dial(&self) -> Result<Option<UnixStream>, Miss> {
        if !Path::new(self.socket).exists() {
            return Ok(None);
        }
        // A socket that has just gone is looked for again, whatever it was taken for.
        if !is_trusted(self.socket, self.me) {
            return if Path::new(self.socket).exists() {
                Err(Miss::Refused)
            } else {
                Ok(None)
            };
        }
        match UnixStream::connect(self.socket).await {
            Ok(stream) => Ok(Some(stream)),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
                Ok(None)
            }
            Err(_) => Err(Miss::Refused),
        }
    }

    fn start(&mut self) {
        let Some(package) = self.package else { return };
        if let Some(child) = &mut self.starter
            && matches!(child.try_wait(), Ok(None))
        {
            return;
        }
        self.starter = package.start_daemon();
    }
}
