//! What the host mounts in its guest: disks, directories of its own, tmpfs. At the boot and later.

mod ask;
mod attributes;
mod busy;
mod copy;
mod data;
mod ext4;
mod fill;
mod made;
pub mod mountinfo;
mod node;
mod shares;
mod source;
mod stage;
mod target;

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::timeout;

use self::made::{Detached, Made, What, Work};
use self::shares::Shares;
use self::stage::Stage;
use crate::aside::WORK;
use crate::grpc::status::{Code, Result, Status};
use crate::machine::devices::Uevents;
use crate::machine::{disks, paths};
use crate::proto::guest_mount::Source;
use crate::proto::{GuestMount, MountState};

pub use self::ask::check_all;

/// Disks that the VMM has are there within milliseconds; this is for a host that is on its knees.
const PATIENCE: Duration = Duration::from_secs(20);

/// What of the host's is there, in the order in which it was made.
#[derive(Default)]
pub struct Mounts {
    made: RefCell<Vec<Made>>,
    shares: Shares,
    stage: RefCell<Option<Arc<Stage>>>,
    /// One change at a time: there is one stage, and what is looked at must still be so when it is acted upon.
    turn: Mutex<()>,
}

impl Mounts {
    /// `directory`: where mounts are made ready; to be called before the root is entered
    pub fn prepare(&self, directory: &str) -> io::Result<()> {
        self.stage.replace(Some(Arc::new(Stage::open(directory)?)));
        Ok(())
    }

    /// All of a boot's, or an error at the first that can't be made; gives the ids of those that are full as asked.
    pub async fn make_all(&self, asked: Vec<GuestMount>) -> Result<Vec<String>> {
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let _turn = self.turn.lock().await;
        let image = image_for(&asked)?;
        let mut filled = Vec::new();
        for (_, mount) in ask::in_order(asked, place_of)? {
            let id = mount.id.clone();
            if self.make(mount, image.clone()).await? {
                filled.push(id);
            }
        }
        Ok(filled)
    }

    /// One more, in a guest that runs; true where it is full as asked.
    pub async fn attach(&self, asked: GuestMount) -> Result<bool> {
        let _turn = self.turn.lock().await;
        ask::check(&asked)?;
        made::exists(&self.made.borrow(), &asked.id)?;
        if self.made.borrow().len() >= ask::MOST {
            let text = format!("{} mounts are there already", ask::MOST);
            return Err(Status::new(Code::ResourceExhausted, text));
        }
        let image = image_for(std::slice::from_ref(&asked))?;
        self.make(asked, image).await
    }

    async fn make(&self, asked: GuestMount, image: Option<Arc<OwnedFd>>) -> Result<bool> {
        let what = format!("mount {}", asked.target);
        let stage = self.stage.borrow().clone();
        let stage = stage.ok_or_else(|| Status::precondition("the guest has no root yet"))?;
        let device = match &asked.source {
            Some(Source::Disk(disk)) => Some(
                find_disk(&disk.serial)
                    .await
                    .map_err(|error| Status::from_io(&what, error))?,
            ),
            _ => None,
        };
        let share = match &asked.source {
            Some(Source::Share(share)) => Some(self.shares.mount(&asked, share, &stage).await?),
            _ => None,
        };
        let id = asked.id.clone();
        let work = Work {
            asked,
            device,
            share,
            stage,
            image,
            others: self.made.borrow().clone(),
        };
        let (made, filled) = WORK
            .run(move || work.run())
            .await
            .inspect_err(|_| self.shares.forget(&id))?;
        self.made.borrow_mut().push(made);
        Ok(filled)
    }

    pub async fn detach(&self, id: &str) -> Result<()> {
        let _turn = self.turn.lock().await;
        let made = self.find(id)?;
        if self.shares.has(id) {
            self.shares.detach(made).await?;
            self.shares.forget(id);
        } else {
            let asked = made.asked.clone();
            if let Detached::Elsewhere(refusal) = WORK.run(move || made.detach()).await? {
                self.make(asked, None).await?;
                self.forget_first(id);
                return Err(refusal);
            }
        }
        self.made.borrow_mut().retain(|other| other.id != id);
        Ok(())
    }

    /// The older one, where two are known by that id.
    fn forget_first(&self, id: &str) {
        let mut made = self.made.borrow_mut();
        if let Some(first) = made.iter().position(|other| other.id == id) {
            made.remove(first);
        }
    }

    /// `disk_bytes`: what its disk has become, which the guest may be told a moment later; 0: not waited for
    pub async fn grow(&self, id: &str, disk_bytes: u64) -> Result<u64> {
        let _turn = self.turn.lock().await;
        let made = self.find(id)?;
        if let What::Mount {
            device: Some(device), ..
        }
        | What::Node { device, .. } = &made.what
        {
            disks::look_again(device);
            wait_for_size(device, disk_bytes)
                .await
                .map_err(|error| Status::from_io(format_args!("grow {}", made.target), error))?;
        }
        WORK.run(move || made.grow()).await
    }

    /// Before the guest syncs for the last time: see `Shares::end_all`.
    pub fn end_shares(&self) {
        self.shares.end_all();
    }

    /// When an init is asked for its end: see `Shares::end_away`.
    pub fn end_shares_away(&self) {
        self.shares.end_away();
    }

    pub async fn list(&self) -> Result<Vec<MountState>> {
        let made = self.made.borrow().clone();
        let away: Vec<String> = made
            .iter()
            .filter(|each| self.shares.is_away(&each.id))
            .map(|each| each.id.clone())
            .collect();
        let look = move || {
            let all = mountinfo::read().map_err(|error| Status::from_io("list the mounts", error))?;
            let there = made.into_iter().filter(|each| each.place(&all).is_some());
            let states = there.map(|Made { id, target, .. }| MountState {
                away: away.contains(&id),
                id,
                target,
            });
            Ok(states.collect())
        };
        WORK.run(look).await
    }

    /// True where the host has mounted something at exactly that place.
    pub fn is_at(&self, place: &Path) -> bool {
        let made = self.made.borrow();
        if made.is_empty() {
            return false;
        }
        let all = mountinfo::read().unwrap_or_default();
        made.iter().any(|each| each.place(&all).as_deref() == Some(place))
    }

    fn find(&self, id: &str) -> Result<Made> {
        let made = self.made.borrow();
        let found = made.iter().find(|each| each.id == id).cloned();
        found.ok_or_else(|| {
            let text = format!("nothing is mounted as {}", id.escape_debug());
            Status::new(Code::NotFound, text)
        })
    }
}

async fn find_disk(serial: &str) -> io::Result<String> {
    let events = Uevents::open()?;
    disks::find(&events, serial, "", PATIENCE).await
}

async fn wait_for_size(device: &str, bytes: u64) -> io::Result<()> {
    let events = Uevents::open()?;
    let grown = async {
        while File::open(device).and_then(|device| ext4::device_bytes(&device))? < bytes {
            events.changed().await;
        }
        Ok(())
    };
    timeout(PATIENCE, grown).await.unwrap_or_else(|_| {
        let text = format!("its disk has not become {bytes} bytes");
        Err(io::Error::new(io::ErrorKind::TimedOut, text))
    })
}

/// The root as it is without anything that is mounted below it, where any of these is to be filled.
fn image_for(asked: &[GuestMount]) -> Result<Option<Arc<OwnedFd>>> {
    let is_to_be_filled = |mount: &GuestMount| matches!(&mount.source, Some(Source::Disk(disk)) if disk.fill);
    if !asked.iter().any(is_to_be_filled) {
        return Ok(None);
    }
    let root = File::open("/").map(OwnedFd::from);
    let image = root.and_then(|root| stage::clone_of(&root));
    let image = image.map_err(|error| Status::from_io("look into the root", error))?;
    Ok(Some(Arc::new(image)))
}

/// Where `target` leads in the root.
pub fn place_of(target: &str) -> PathBuf {
    let path = Path::new(target);
    paths::place_of(Path::new("/"), path).unwrap_or_else(|_| path.to_path_buf())
}
