//! Kernel modules of the initramfs, in the order of its list.

use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};

use super::devices::{VIRTIO_SCSI, virtio_ids};
use crate::console;

const DIRECTORY: &str = "/modules";
const LIST: &str = "/modules.list";
/// What a machine with a SCSI controller needs besides.
const SCSI_LIST: &str = "/modules.scsi";
/// What a machine needs besides to which cards may come while it runs.
const PCI_LIST: &str = "/modules.pci";
/// A list is some dozen lines.
const MAX_MODULES: usize = 256;

/// Loads what every machine needs.
pub fn load_all() {
    load_list(LIST);
}

/// Loads what disks on SCSI need, where the machine has a controller for them: no other is to pay for it. To be called
/// while the initramfs is there.
pub fn load_scsi() {
    // In this order: a kernel with everything built in has no list, and asks for nothing.
    if Path::new(SCSI_LIST).exists() && virtio_ids().iter().any(|id| id == VIRTIO_SCSI) {
        load_list(SCSI_LIST);
    }
}

/// Loads what cards need that come later: no other initramfs has the list. To be called while that is there.
pub fn load_pci() {
    load_list(PCI_LIST);
}

/// Loads every module of the list. One that fails is named on the console and the next goes on: some are for hardware
/// that this machine does not have, and what is really missing shows when it is needed.
fn load_list(list: &str) {
    let list = match fs::read_to_string(list) {
        Ok(list) => list,
        // A kernel with everything built in needs no list.
        Err(_) => return,
    };
    for path in parse_list(&list) {
        if let Err(error) = load(&path) {
            console::error(format_args!("load {}: {error}", path.display()));
        }
    }
}

fn load(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    match rustix::system::finit_module(&file, c"", 0) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::EXIST | rustix::io::Errno::NODEV) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// One path per line, below /modules unless absolute; empty lines and # comments are skipped.
fn parse_list(text: &str) -> Vec<PathBuf> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| Path::new(DIRECTORY).join(line))
        .filter(|path| !path.components().any(|part| part == Component::ParentDir))
        .take(MAX_MODULES)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_paths_and_comments() {
        let list = "# for the disk\nvirtio_ring.ko\n\n  /modules/virtio.ko \nkernel/fs/ext4.ko\n../init\n";
        let paths = parse_list(list);
        let expected = [
            "/modules/virtio_ring.ko",
            "/modules/virtio.ko",
            "/modules/kernel/fs/ext4.ko",
        ];
        assert_eq!(paths, expected.map(PathBuf::from));
    }
}
