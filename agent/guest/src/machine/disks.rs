//! Disks by what they are: each bears a serial that the host knows, whatever the kernel has called it.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::timeout;

use super::devices::{Uevents, is_block};

const DISKS: &str = "/sys/block";
const DEVICES: &str = "/dev/";
/// More than any bus carries of a serial, with what stands before it.
const MAX_PAGE: u64 = 512;

/// The device of the disk with that serial, as soon as it is there. Without a serial, and where the disk that `hint`
/// names tells none, it is the hint. Another disk than the one that was asked for it never is.
pub async fn find(events: &Uevents, serial: &str, hint: &str, patience: Duration) -> io::Result<String> {
    let found = async {
        loop {
            // Asked first: what a disk tells is there before its device is.
            let hint_is_there = is_block(hint);
            match look(Path::new(DISKS), serial, hint, hint_is_there) {
                Some(device) if is_block(&device) && is_ready(&device) => return device,
                _ => events.changed().await,
            }
        }
    };
    timeout(patience, found).await.map_err(|_| {
        let what = match serial {
            "" => format!("no block device {hint} appeared"),
            _ => format!("no disk with the serial \"{}\" appeared", serial.escape_debug()),
        };
        io::Error::new(io::ErrorKind::NotFound, what)
    })
}

/// Whether it can be opened. A disk that comes while the guest runs has its node before the kernel knows whom the node is
/// for: until then it is ENXIO ("No such device or address"), and the kernel's word that it was added comes after.
fn is_ready(device: &str) -> bool {
    match fs::File::open(device) {
        Ok(_) => true,
        // Whatever else is wrong with it is told by what is done with it.
        Err(error) => !matches!(
            error.raw_os_error(),
            Some(libc::ENXIO | libc::ENODEV | libc::ENOENT)
        ),
    }
}

/// Has the kernel ask a SCSI disk for its size again; others tell by themselves.
pub fn look_again(device: &str) {
    if let Some(disk) = scsi_disk(device) {
        let _ = fs::write(disk.join("device/rescan"), "1");
    }
}

/// Has what the kernel zeroes of a SCSI disk become holes of the disk's file, as virtio-blk's does by itself: ext4 that grows
/// zeroes its inode tables, tens of MiB for each GiB, and QEMU would take room of the host for them. Each look at its size
/// makes the kernel forget it. Where it can't be had, room is all that is lost.
pub fn zero_by_holes(device: &str) {
    let units = scsi_disk(device).map(|disk| fs::read_dir(disk.join("device/scsi_disk")));
    for unit in units.into_iter().flatten().flatten().flatten() {
        let _ = fs::write(unit.path().join("zeroing_mode"), "writesame_16_unmap");
    }
}

fn scsi_disk(device: &str) -> Option<PathBuf> {
    let name = device
        .strip_prefix(DEVICES)
        .filter(|name| name.starts_with("sd"))?;
    Some(Path::new(DISKS).join(name))
}

/// One look below `disks`.
fn look(disks: &Path, serial: &str, hint: &str, hint_is_there: bool) -> Option<String> {
    if serial.is_empty() {
        return Some(hint.to_owned());
    }
    // The hint first: asking a disk is a question to the VMM, and as a rule the hint is right.
    let hinted = hint
        .strip_prefix(DEVICES)
        .map(|name| (name, serial_of(&disks.join(name))));
    match hinted {
        Some((_, Some(found))) if found == serial => return Some(hint.to_owned()),
        _ => {}
    }
    let others = fs::read_dir(disks).into_iter().flatten().flatten();
    let found = others
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| hinted.as_ref().is_none_or(|(hint, _)| name != hint))
        .find(|name| serial_of(&disks.join(name)).as_deref() == Some(serial));
    match (found, hinted) {
        (Some(name), _) => Some(format!("{DEVICES}{name}")),
        // A VMM that gives its disks no serials.
        (None, Some((_, Some(told)))) if told.is_empty() && hint_is_there => Some(hint.to_owned()),
        _ => None,
    }
}

/// What a disk says it is: virtio-blk's serial, or SCSI's page of it. Empty where it says nothing; None where there is no
/// such disk.
fn serial_of(disk: &Path) -> Option<String> {
    let name = disk.file_name()?.to_str()?;
    let bytes = if name.starts_with("vd") {
        read(&disk.join("serial"))
    } else if name.starts_with("sd") {
        read(&disk.join("device/vpd_pg80")).map(|page| unit_serial(&page).to_vec())
    } else {
        return None;
    };
    match bytes {
        Some(bytes) => Some(String::from_utf8_lossy(bytes.trim_ascii()).into_owned()),
        None => fs::exists(disk).unwrap_or(false).then(String::new),
    }
}

/// Page 0x80 (SPC, "Unit Serial Number"): four bytes, the last two of them the length of what follows.
fn unit_serial(page: &[u8]) -> &[u8] {
    match page {
        [_, 0x80, high, low, rest @ ..] => {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            &rest[..length.min(rest.len())]
        }
        _ => &[],
    }
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(MAX_PAGE).read_to_end(&mut bytes))
        .ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests;
