//! One mount after the other, each whole or not at all: what blocks is done here, on a thread of its own.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::mount::{UnmountFlags, unmount};

use super::mountinfo::{self, Mount};
use super::stage::{Stage, attach, clone_of, kind_of};
use super::{ask, busy, ext4, fill, node, source, target};
use crate::grpc::status::{Code, Result, Status};
use crate::machine::disks;
use crate::proto::GuestMount;
use crate::proto::guest_mount::Source;

const ROOT: &str = "/";

/// Something of the host's that is there.
#[derive(Clone, Debug)]
pub struct Made {
    pub id: String,
    pub target: String,
    pub what: What,
    /// What it was made of, to be made of again.
    pub asked: GuestMount,
}

/// What became of one that was to go.
pub enum Detached {
    Gone,
    /// It has left its place and is mounted elsewhere: its disk must not go. With who has it there.
    Elsewhere(Status),
}

#[derive(Clone, Debug)]
pub enum What {
    /// By the kernel's number of it: a directory above may be renamed.
    Mount {
        number: u64,
        device: Option<String>,
    },
    Node {
        place: PathBuf,
        device: String,
    },
}

/// What a mount is made of.
pub struct Work {
    pub asked: GuestMount,
    /// Of a disk.
    pub device: Option<String>,
    /// Of a share: a mount without a place.
    pub share: Option<OwnedFd>,
    pub stage: Arc<Stage>,
    /// The root alone, to be filled from.
    pub image: Option<Arc<OwnedFd>>,
    /// What is there already.
    pub others: Vec<Made>,
}

impl Work {
    /// Gives what was made, and whether it is full as asked.
    pub fn run(self) -> Result<(Made, bool)> {
        let failed = failed_at(&self.asked.target);
        let device = self.device.clone();
        let (what, filled) = match &self.asked.source {
            Some(Source::Disk(disk)) if disk.node => {
                let device = device.unwrap_or_default();
                let place = node::make(Path::new(ROOT), &self.asked.target, &device).map_err(failed)?;
                (What::Node { place, device }, false)
            }
            _ => {
                let (number, filled) = self.mount()?;
                (What::Mount { number, device }, filled)
            }
        };
        let asked = self.asked;
        let (id, target) = (asked.id.clone(), asked.target.clone());
        Ok((
            Made {
                id,
                target,
                what,
                asked,
            },
            filled,
        ))
    }

    fn mount(&self) -> Result<(u64, bool)> {
        let failed = || failed_at(&self.asked.target);
        let made = self.source().map_err(failed())?;
        let whole = made.as_ref().or(self.share.as_ref());
        let whole = whole.ok_or_else(|| Status::internal("a mount of nothing"))?;
        let staged = self.stage.attach(whole).map_err(failed())?;
        let found = staged.find(&self.within(), !self.asked.read_only);
        let found = found.map_err(|error| {
            let what = format!(
                "mount {}: find {} in it",
                self.asked.target,
                self.within().escape_debug()
            );
            Status::from_io(what, error)
        })?;
        let filled = self.fill(&found)?;
        let kind = kind_of(&found).map_err(failed())?;
        let mount = clone_of(&found).map_err(failed())?;
        drop(staged);
        let target = target::open(Path::new(ROOT), &self.asked.target, kind).map_err(failed())?;
        self.check_place(&target.place)?;
        attach(&mount, &target.fd).map_err(failed())?;
        Ok((mountinfo::id_of(&mount).map_err(failed())?, filled))
    }

    fn source(&self) -> io::Result<Option<OwnedFd>> {
        let GuestMount {
            source, read_only, ..
        } = &self.asked;
        match (source, &self.device) {
            (Some(Source::Disk(disk)), Some(device)) => {
                source::disk(device, &disk.filesystem, *read_only).map(Some)
            }
            (Some(Source::Tmpfs(tmpfs)), _) => source::tmpfs(tmpfs, *read_only).map(Some),
            _ => Ok(None),
        }
    }

    /// Below the source's root.
    fn within(&self) -> String {
        let subpath = self.asked.subpath.as_str();
        match &self.asked.source {
            Some(Source::Share(share)) if !share.file.is_empty() => share.file.clone(),
            _ => subpath.to_owned(),
        }
    }

    fn fill(&self, volume: &OwnedFd) -> Result<bool> {
        let target = &self.asked.target;
        let Some(image) = &self.image else {
            return Ok(false);
        };
        match &self.asked.source {
            Some(Source::Disk(disk)) if disk.fill => {}
            _ => return Ok(false),
        }
        fill::fill(image, target, volume)
            .map(|_| true)
            .map_err(|error| Status::from_io(format_args!("fill the volume of {target}"), error))
    }

    /// Neither on nor over another of the host's.
    fn check_place(&self, place: &Path) -> Result<()> {
        let all = mountinfo::read().map_err(failed_at(&self.asked.target))?;
        for other in &self.others {
            let Some(taken) = other.place(&all) else {
                continue;
            };
            let Made { target, id, .. } = other;
            if taken == place {
                return Err(ask::taken(&self.asked.target, target, id));
            }
            if ask::is_below(&taken, place) {
                let text = format!(
                    "mount {}: {target} lies below, and would be hidden",
                    self.asked.target
                );
                return Err(Status::precondition(text));
            }
        }
        Ok(())
    }
}

fn failed_at(target: &str) -> impl FnOnce(io::Error) -> Status + use<> {
    let what = format!("mount {target}");
    move |error| Status::from_io(what, error)
}

impl Made {
    /// Where it is now; None where somebody in the guest has unmounted it.
    pub fn place(&self, all: &[Mount]) -> Option<PathBuf> {
        match &self.what {
            What::Mount { number, .. } => find(all, *number).map(|mount| mount.place.clone()),
            What::Node { place, .. } => place.symlink_metadata().is_ok().then(|| place.clone()),
        }
    }

    /// Takes it away, or says who uses it.
    pub fn detach(&self) -> Result<Detached> {
        let failed = |error: io::Error| Status::from_io(format_args!("unmount {}", self.target), error);
        let in_use = |holder: String| Status::precondition(format!("{} is in use by {holder}", self.target));
        let all = mountinfo::read().map_err(failed)?;
        match &self.what {
            What::Node { place, device } => {
                let number = node::number_of(device)
                    .map(|number| format!("{}:{}", rustix::fs::major(number), rustix::fs::minor(number)));
                let holder = number
                    .ok()
                    .and_then(|number| busy::holder_of_device(&number, &all))
                    .or_else(|| is_held(device).then(|| busy::mounted_by(device)));
                match holder {
                    Some(holder) => Err(in_use(holder)),
                    None => node::remove(place, device)
                        .map(|()| Detached::Gone)
                        .map_err(failed),
                }
            }
            What::Mount { number, device } => {
                if let Some(mount) = find(&all, *number) {
                    let device = device.as_ref().map(|_| &mount.device);
                    let bound = |other: &&Mount| Some(&other.device) == device && other.id != *number;
                    if let Some(other) = all.iter().find(bound) {
                        return Err(in_use(busy::mount_on(other)));
                    }
                    unmount_at(&mount.place).map_err(|error| match error.raw_os_error() {
                        Some(libc::EBUSY) => in_use(busy::holder(mount, &all)),
                        _ => failed(error),
                    })?;
                }
                match device {
                    Some(device) if is_held(device) => {
                        Ok(Detached::Elsewhere(in_use(busy::mounted_by(device))))
                    }
                    _ => Ok(Detached::Gone),
                }
            }
        }
    }

    /// Gives the bytes of the file system, or of the disk where it is a node.
    pub fn grow(&self) -> Result<u64> {
        let failed = |error: io::Error| Status::from_io(format_args!("grow {}", self.target), error);
        let gone = || Status::precondition(format!("{} is no longer mounted", self.target));
        match &self.what {
            What::Node { device, .. } => File::open(device)
                .and_then(|device| ext4::device_bytes(&device))
                .map_err(failed),
            What::Mount { device: None, .. } => Err(Status::precondition(format!(
                "grow {}: it is no disk",
                self.target
            ))),
            What::Mount {
                number,
                device: Some(device),
            } => {
                let all = mountinfo::read().map_err(failed)?;
                let mount = find(&all, *number).ok_or_else(gone)?;
                // A file that somebody has put there since may be a FIFO.
                let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW;
                let inside = File::options()
                    .read(true)
                    .custom_flags(flags)
                    .open(&mount.place)
                    .map_err(failed)?;
                if mountinfo::id_of(&inside).map_err(failed)? != *number {
                    return Err(gone());
                }
                disks::zero_by_holes(device);
                let device = File::open(device).map_err(failed)?;
                ext4::grow(&device, &inside).map_err(failed)
            }
        }
    }
}

fn find(all: &[Mount], number: u64) -> Option<&Mount> {
    all.iter().find(|mount| mount.id == number)
}

/// Whether its file system is mounted somewhere, in whichever namespace: the kernel then has the disk for itself.
fn is_held(device: &str) -> bool {
    let opened = File::options().read(true).custom_flags(libc::O_EXCL).open(device);
    opened.is_err_and(|error| error.raw_os_error() == Some(libc::EBUSY))
}

/// Never what a link leads to that was put there since.
fn unmount_at(place: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
    use std::os::fd::AsRawFd;
    let (Some(above), Some(name)) = (place.parent(), place.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let above = rustix::fs::openat2(CWD, above, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)?;
    let path = Path::new("/proc/self/fd")
        .join(above.as_raw_fd().to_string())
        .join(name);
    Ok(unmount(&path, UnmountFlags::NOFOLLOW)?)
}

/// For whoever asks twice.
pub fn exists(made: &[Made], id: &str) -> Result<()> {
    match made.iter().find(|other| other.id == id) {
        Some(other) => {
            let text = format!("{id} is mounted already, on {}", other.target);
            Err(Status::new(Code::AlreadyExists, text))
        }
        None => Ok(()),
    }
}
