//! Shared directories among the mounts: each is made where nobody sees it, and has a bridge of its own for as long as it is there.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::made::Made;
use super::stage::Stage;
use crate::aside::WORK;
use crate::grpc::status::{Code, Result, Status};
use crate::proto::{GuestMount, ShareMount};
use crate::share::{self, Mounted, ShareSpec, Way};

/// A server that kilnd has started answers within milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);
const SOFT: Duration = Duration::from_secs(30);
/// Unmounting takes this long while a server answers.
const AT_EASE: Duration = Duration::from_secs(3);
/// And this long once nothing waits for one any more.
const TO_END: Duration = Duration::from_secs(10);

/// By the ids of their mounts.
#[derive(Default)]
pub struct Shares(RefCell<BTreeMap<String, Mounted>>);

impl Shares {
    /// Gives the mount, which has no place yet.
    pub async fn mount(&self, asked: &GuestMount, share: &ShareMount, stage: &Arc<Stage>) -> Result<OwnedFd> {
        let what = format!("mount {}", asked.target);
        let failed = |error| Status::from_io(&what, error);
        let place = stage.place(&asked.id).map_err(failed)?;
        let mounted = share::mount(&spec_of(share, asked.read_only), &place, PATIENCE).await;
        let mounted = mounted.map_err(|Status { code, message, .. }| {
            Status::new(code, format!("mount {}: {message}", asked.target))
        })?;
        self.0.borrow_mut().insert(asked.id.clone(), mounted);
        let (stage, id, what) = (stage.clone(), asked.id.clone(), what.clone());
        // Its server may have died since it answered, and looking at the mount asks it.
        WORK.run(move || stage.take(&id).map_err(|error| Status::from_io(&what, error)))
            .await
            .inspect_err(|_| self.forget(&asked.id))
    }

    pub fn has(&self, id: &str) -> bool {
        self.0.borrow().contains_key(id)
    }

    pub fn is_away(&self, id: &str) -> bool {
        self.0.borrow().get(id).is_some_and(Mounted::is_away)
    }

    /// Its bridge ends with the mount.
    pub fn forget(&self, id: &str) {
        self.0.borrow_mut().remove(id);
    }

    /// Takes a share's mount away; what would wait for a server that has gone fails instead.
    pub async fn detach(&self, made: Made) -> Result<()> {
        let (id, target) = (made.id.clone(), made.target.clone());
        let mut begun = WORK.begin(move || made.detach())?;
        if let Ok(outcome) = timeout(AT_EASE, &mut begun).await {
            return outcome.map(|_| ());
        }
        self.end_one(&id);
        let ended = timeout(TO_END, begun).await.unwrap_or_else(|_| {
            let text = format!("unmount {target}: its files do not come to an end");
            Err(Status::new(Code::DeadlineExceeded, text))
        });
        ended.map(|_| ())
    }

    fn end_one(&self, id: &str) {
        if let Some(share) = self.0.borrow().get(id) {
            share.end();
        }
    }

    /// An init is asked for its end: its own sync and unmounts would wait for a server that has gone.
    pub fn end_away(&self) {
        let shares = self.0.borrow();
        shares
            .values()
            .filter(|share| share.is_away())
            .for_each(Mounted::end);
    }

    /// The guest ends: what is still to be written has some seconds, and no sync waits for a server that has gone.
    pub fn end_all(&self) {
        self.0.borrow().values().for_each(Mounted::end);
    }
}

fn spec_of(share: &ShareMount, read_only: bool) -> ShareSpec {
    let way = if share.port.is_empty() {
        Way::to_host(share.vsock_port)
    } else {
        Way::Port(share.port.clone())
    };
    let asked = Duration::from_millis(u64::from(share.patience_ms));
    let patience = share.soft.then(|| if asked.is_zero() { SOFT } else { asked });
    ShareSpec {
        way,
        patience,
        real_ids: share.real_ids,
        read_only,
        notify: share.notify,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_ever_unless_asked_otherwise() {
        let hard = spec_of(
            &ShareMount {
                port: "kiln.port.a".into(),
                ..Default::default()
            },
            true,
        );
        assert_eq!(
            (hard.way, hard.patience, hard.read_only),
            (Way::Port("kiln.port.a".into()), None, true)
        );
        let soft = ShareMount {
            vsock_port: 1100,
            soft: true,
            ..Default::default()
        };
        assert_eq!(spec_of(&soft, false).way, Way::to_host(1100));
        assert_eq!(spec_of(&soft, false).patience, Some(SOFT));
        let short = spec_of(
            &ShareMount {
                patience_ms: 500,
                ..soft
            },
            false,
        );
        assert_eq!(short.patience, Some(Duration::from_millis(500)));
    }
}
