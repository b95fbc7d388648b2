//! A disk as a block device node where the guest wants it, instead of what is on it.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Gid, Mode, Uid};

use super::target;
use crate::machine::paths;

/// As Docker's --device: whose group a guest's `disk` is, nobody knows here.
const MODE: u32 = 0o660;

/// Makes the node; one of an earlier boot, whose disk may have had another number, is made anew.
pub fn make(root: &Path, target: &str, device: &str) -> io::Result<PathBuf> {
    let number = number_of(device)?;
    let place = paths::place_of_file(root, Path::new(target))?;
    // /dev is where nodes belong; a node is no mount.
    if !place.starts_with(root.join("dev")) {
        target::check(root, &place)?;
    }
    match fs::symlink_metadata(&place) {
        Ok(found) if found.file_type().is_block_device() => {
            // The kernel's own name of it: /dev/vdb as a target.
            if found.rdev() == number {
                return Ok(place);
            }
            fs::remove_file(&place)?;
        }
        Ok(_) => {
            let text = "something else is in the place of the device";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    rustix::fs::mknodat(CWD, &place, FileType::BlockDevice, Mode::from(0o600), number)?;
    rustix::fs::chownat(
        CWD,
        &place,
        Some(Uid::ROOT),
        Some(Gid::ROOT),
        rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
    )?;
    rustix::fs::chmod(&place, Mode::from(MODE))?;
    Ok(place)
}

/// Takes it away, if it is still that disk's; never the kernel's own, which goes with its disk.
pub fn remove(place: &Path, device: &str) -> io::Result<()> {
    let is_ours = fs::symlink_metadata(place).is_ok_and(|found| {
        found.file_type().is_block_device() && number_of(device).ok() == Some(found.rdev())
    });
    if !is_ours || place == Path::new(device) {
        return Ok(());
    }
    match fs::remove_file(place) {
        // It leads to nothing once its disk is gone.
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Ok(()),
        removed => removed,
    }
}

/// Of a block device.
pub fn number_of(device: &str) -> io::Result<u64> {
    let found = fs::metadata(device)?;
    if !found.file_type().is_block_device() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{device} is no block device"),
        ));
    }
    Ok(found.rdev())
}
