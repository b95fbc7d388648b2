//! /etc/hosts, /etc/hostname and /etc/resolv.conf.
//!
//! In app mode ours are laid over the image's, which stay as they are below: they live on a small tmpfs that the root
//! cannot see, and only the bind mounts show. In system mode the root belongs to its init: hostnamectl, resolvconf and
//! NetworkManager replace these files by a rename, which a mount point refuses. There they are the root's own files,
//! written before the init starts.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rustix::mount::{MountFlags, mount_bind};

use super::etc_text::{self, resolv_conf};
use super::names::{self, Change};
use super::{paths, written};
use crate::console;
use crate::grpc::status::{Result, Status};
use crate::mount::{self, Mounts};
use crate::proto::{Dns, HostEntry, Mode, MovedAddress};

/// Where no path of the guest leads once the root is entered.
pub const HIDDEN: &str = "/placed";
const HOSTS: &str = "/etc/hosts";
const HOSTNAME: &str = "/etc/hostname";
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// linux/magic.h
const TMPFS: i64 = 0x0102_1994;

/// What may be changed later. Empty until the root is there.
#[derive(Default)]
pub struct Placed {
    resolv: Option<Resolv>,
    /// None where the host has mounted its own there, or the root had no place for ours.
    hosts: Option<Ours>,
}

enum Resolv {
    /// The host has mounted its own there.
    Others,
    /// The image's own is in force.
    Ready(Mode, File),
    Ours(Ours),
}

/// How a reader finds our text.
enum Ours {
    Laid(File),
    /// In a file of the root's, and this is it.
    Written(String),
}

/// The files, made before the root is entered (afterwards there is no place that the root cannot see).
pub struct Prepared {
    hosts: File,
    hostname: File,
    resolv: File,
}

impl Prepared {
    pub fn new() -> io::Result<Self> {
        fs::DirBuilder::new().mode(0o755).create(HIDDEN)?;
        rustix::mount::mount(
            "tmpfs",
            HIDDEN,
            "tmpfs",
            MountFlags::NOSUID | MountFlags::NODEV,
            c"mode=0755,size=4m",
        )?;
        let make = |name: &str| {
            let path = Path::new(HIDDEN).join(name);
            File::options()
                .read(true)
                .write(true)
                .create_new(true)
                .mode(0o644)
                .open(path)
        };
        Ok(Self {
            hosts: make("hosts")?,
            hostname: make("hostname")?,
            resolv: make("resolv.conf")?,
        })
    }

    /// Brings the files into the root. To be called inside it. An image whose own files leave no place for one of them
    /// (a directory, a loop of links) goes without it, and boots.
    /// One on which the host has mounted something stays as that is.
    pub fn place(
        self,
        (mode, mounts): (Mode, &Mounts),
        hostname: &str,
        hosts: &str,
        dns: Option<&Dns>,
    ) -> Result<Placed> {
        let is_free = |target: &str| !mounts.is_at(&mount::place_of(target));
        let hosts = if is_free(HOSTS) {
            put_or_tell(mode, &self.hosts, hosts, HOSTS)
        } else {
            None
        };
        if !hostname.is_empty() && is_free(HOSTNAME) {
            put_or_tell(mode, &self.hostname, &format!("{hostname}\n"), HOSTNAME);
        }
        if !is_free(RESOLV_CONF) {
            return Ok(Placed {
                resolv: Some(Resolv::Others),
                hosts,
            });
        }
        let ours = match dns {
            Some(dns) => put_or_tell(mode, &self.resolv, &resolv_conf(dns)?, RESOLV_CONF),
            None => None,
        };
        let resolv = ours.map_or_else(|| Resolv::Ready(mode, self.resolv), Resolv::Ours);
        Ok(Placed {
            resolv: Some(resolv),
            hosts,
        })
    }
}

impl Placed {
    /// Tells a running guest the names of others; they are all that there are from then on.
    pub fn change_names(&self, entries: &[HostEntry]) -> Result<()> {
        self.change_hosts(&Change::Names(&names::block(entries)?))
    }

    /// The guest's own name has another address from now on; empty: none but loopback's.
    pub fn move_own(&self, MovedAddress { from, to }: &MovedAddress) -> Result<()> {
        let read = |text: &str| {
            let text = if text.is_empty() { etc_text::NOWHERE } else { text };
            text.parse()
                .map_err(|_| Status::invalid("an own address is none"))
        };
        self.change_hosts(&Change::Moved {
            from: read(from)?,
            to: read(to)?,
        })
    }

    fn change_hosts(&self, change: &Change<'_>) -> Result<()> {
        let changed = match &self.hosts {
            None => Ok(()),
            Some(Ours::Laid(file)) => names::change_in(file, change),
            Some(Ours::Written(_)) => names::change_at(Path::new("/"), Path::new(HOSTS), change),
        };
        changed.map_err(|error| Status::from_io(format_args!("change {HOSTS}"), error))
    }

    /// Changes the resolver of a running guest.
    pub fn change_dns(&mut self, dns: &Dns) -> Result<()> {
        let text = resolv_conf(dns)?;
        let failed = |error: io::Error| Status::from_io(format_args!("change {RESOLV_CONF}"), error);
        let ours = match self.resolv.take() {
            Some(Resolv::Others) => {
                self.resolv = Some(Resolv::Others);
                return Ok(());
            }
            Some(Resolv::Ours(Ours::Laid(mut file))) => {
                rewrite(&mut file, &text).map_err(failed)?;
                Ours::Laid(file)
            }
            Some(Resolv::Ours(Ours::Written(before))) => {
                written::rewrite(Path::new("/"), Path::new(RESOLV_CONF), &before, &text).map_err(failed)?;
                Ours::Written(text)
            }
            Some(Resolv::Ready(mode, file)) => put(mode, &file, &text, RESOLV_CONF)?,
            None => return Err(Status::precondition("the guest has no root yet")),
        };
        self.resolv = Some(Resolv::Ours(ours));
        Ok(())
    }
}

/// Puts `text` where a reader of `target` finds it.
fn put(mode: Mode, file: &File, text: &str, target: &str) -> Result<Ours> {
    if mode == Mode::System {
        match written::write(Path::new("/"), Path::new(target), text) {
            Ok(()) => return Ok(Ours::Written(text.to_owned())),
            // A root that takes no file can still be laid over.
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {}
            Err(error) => return Err(Status::from_io(format_args!("write {target}"), error)),
        }
    }
    lay(file, text, target).map(Ours::Laid)
}

fn put_or_tell(mode: Mode, file: &File, text: &str, target: &str) -> Option<Ours> {
    put(mode, file, text, target)
        .inspect_err(|status| console::error(format_args!("{}", status.message)))
        .ok()
}

/// Writes `text` where a reader of `target` finds it; gives the file to change later.
fn lay(file: &File, text: &str, target: &str) -> Result<File> {
    file.try_clone()
        .and_then(|mut file| rewrite(&mut file, text).map(|()| file))
        .and_then(|file| cover(file, text, target))
        .map_err(|error| Status::from_io(format_args!("lay {target} over the image's"), error))
}

fn rewrite(file: &mut File, text: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(text.as_bytes())
}

/// Binds `file` over what `target` leads to; makes an empty file to bind over where there is none, as Docker does.
fn cover(file: File, text: &str, target: &str) -> io::Result<File> {
    let target = paths::place_of_file(Path::new("/"), Path::new(target))?;
    if !written::is_file_or_missing(&target)? {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "something else is in its place",
        ));
    }
    if !target.exists() {
        let mut made = File::create(&target)?;
        // As short-lived as ours: writing it leaves its owner (systemd-resolved) free to replace it, which a mount
        // point is not.
        if is_tmpfs(&made) {
            return made.write_all(text.as_bytes()).map(|()| made);
        }
    }
    let source = format!("/proc/self/fd/{}", file.as_raw_fd());
    mount_bind(source.as_str(), &target)?;
    Ok(file)
}

fn is_tmpfs(file: &File) -> bool {
    rustix::fs::fstatfs(file).is_ok_and(|system| system.f_type == TMPFS)
}
