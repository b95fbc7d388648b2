//! The root file system: built from its disks, entered, and the initramfs given back.

use std::ffi::CStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rustix::mount::{MountFlags, mount, mount_move, mount_remount};

use super::devices::Uevents;
use super::disks;
use super::dm::{self, Snapshot};
use super::{modules, paths};
use crate::console;
use crate::grpc::status::{Result, Status};
use crate::proto::{ModulesDisk, RootDisk};

pub const NEW_ROOT: &str = "/newroot";
/// Disks that the VMM has are there within milliseconds; this is for a host that is on its knees.
const PATIENCE: Duration = Duration::from_secs(20);
const DEFAULT_CHUNK: u32 = 128;
/// Without it the kernel would write zeros over free inode tables in the background: into the cow.
const EXT4: &CStr = c"noinit_itable";

/// Mounts the root at `NEW_ROOT`.
pub async fn mount_root(disk: &RootDisk) -> Result<()> {
    let events = Uevents::open().map_err(|error| Status::from_io("listen for devices", error))?;
    modules::load_scsi();
    modules::load_pci();
    let base = find_disk(&events, &disk.base_serial, &disk.base_device, "the base disk").await?;
    let cow = match disk.cow_serial.is_empty() && disk.cow_device.is_empty() {
        true => None,
        false => Some(find_disk(&events, &disk.cow_serial, &disk.cow_device, "the cow disk").await?),
    };
    fs::create_dir_all(NEW_ROOT)
        .map_err(|error| Status::from_io("make the mount point of the root", error))?;
    let (device, flags) = match cow {
        None => (base, MountFlags::RDONLY),
        Some(cow) => (join(disk, &base, &cow)?, MountFlags::empty()),
    };
    mount(device.as_str(), NEW_ROOT, "ext4", flags, EXT4)
        .map_err(|error| Status::from_io(format_args!("mount the root from {device}"), error))
}

/// The device of one of the VM's disks.
async fn find_disk(events: &Uevents, serial: &str, hint: &str, what: &str) -> Result<String> {
    check_device(hint)?;
    if serial.is_empty() && hint.is_empty() {
        return Err(Status::invalid(format!(
            "{what} has neither a serial nor a device"
        )));
    }
    disks::find(events, serial, hint, PATIENCE)
        .await
        .map_err(|error| Status::from_io(format_args!("find {what}"), error))
}

/// Base and cow as the one device that the root is on.
fn join(disk: &RootDisk, base: &str, cow: &str) -> Result<String> {
    let chunk_sectors = match disk.chunk_sectors {
        0 => DEFAULT_CHUNK,
        asked => asked,
    };
    let snapshot = Snapshot {
        base,
        cow,
        persistent: disk.persistent,
        chunk_sectors,
    };
    dm::create(&snapshot).map_err(|error| Status::from_io(format_args!("join {base} and {cow}"), error))
}

fn check_device(path: &str) -> Result<()> {
    let name = path.strip_prefix("/dev/").unwrap_or_default();
    let known = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if known || path.is_empty() {
        Ok(())
    } else {
        Err(Status::invalid(format!("\"{path}\" is no block device")))
    }
}

/// Makes `NEW_ROOT` the root of this process and gives the initramfs's memory back.
pub fn switch() -> Result<()> {
    let failed = |error: rustix::io::Errno| Status::from_io("switch to the root", error);
    free_initramfs();
    rustix::process::chdir(NEW_ROOT).map_err(failed)?;
    mount_move(".", "/").map_err(failed)?;
    rustix::process::chroot(".").map_err(failed)?;
    rustix::process::chdir("/").map_err(failed)
}

/// From now on nobody writes to the root; what is mounted on it is as it was.
pub fn make_read_only() -> Result<()> {
    mount_remount("/", MountFlags::RDONLY, c"")
        .map_err(|error| Status::from_io("make the root read-only", error))
}

/// Removes every file of the initramfs itself; never crosses into what is mounted on it.
fn free_initramfs() {
    let Ok(device) = fs::metadata("/").map(|metadata| metadata.dev()) else {
        return;
    };
    remove_below(Path::new("/"), device, 0);
}

fn remove_below(directory: &Path, device: u64, depth: usize) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        if metadata.dev() != device {
            continue;
        }
        // What cannot be removed (a mount point) costs some bytes, no more.
        if metadata.is_dir() {
            if depth < 16 {
                remove_below(&path, device, depth + 1);
            }
            let _ = fs::remove_dir(&path);
        } else {
            let _ = fs::remove_file(&path);
        }
    }
}

/// Mounts the modules disk where modprobe looks. To be called inside the root. A root that is read-only and has no
/// place for it goes without.
pub async fn mount_modules(disk: &ModulesDisk) -> Result<()> {
    let events = Uevents::open().map_err(|error| Status::from_io("listen for devices", error))?;
    let device = find_disk(&events, &disk.serial, &disk.device, "the modules disk").await?;
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let target = format!("/lib/modules/{release}");
    let place = match paths::make_directory(Path::new("/"), Path::new(&target)) {
        Ok(place) => place,
        Err(error) => {
            console::error(format_args!(
                "no kernel modules: {target} cannot be made: {error}"
            ));
            return Ok(());
        }
    };
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    mount(device.as_str(), &place, "ext4", flags, c"")
        .map_err(|error| Status::from_io(format_args!("mount {device} at {target}"), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_devices_and_nothing_else_for_disks() {
        for good in ["", "/dev/vda", "/dev/dm-0", "/dev/nvme0n1"] {
            assert!(check_device(good).is_ok(), "{good}");
        }
        for bad in [
            "vda",
            "/dev/",
            "/dev/../etc/passwd",
            "/dev/vda extra",
            "/etc/passwd",
            "/dev/a/b",
        ] {
            assert!(check_device(bad).is_err(), "{bad}");
        }
    }
}
