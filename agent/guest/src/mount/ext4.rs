//! What ext4 says of itself in its superblock, and its growth while it is mounted. Layout: the kernel's
//! Documentation/filesystems/ext4/super.rst.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;

const AT: u64 = 1024;
const LENGTH: usize = 1024;
const MAGIC: u16 = 0xef53;
/// s_feature_incompat
const RECOVER: u32 = 0x4;
const BITS_64: u32 = 0x80;
/// linux/fs.h and fs/ext4/ext4.h
const BLKGETSIZE64: libc::Ioctl = 0x8008_1272;
const EXT4_IOC_RESIZE_FS: libc::Ioctl = 0x4008_6610;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Superblock {
    pub blocks: u64,
    pub block_bytes: u64,
    /// Its journal holds what is not in its place yet.
    pub is_dirty: bool,
}

impl Superblock {
    /// None where this is no ext2, 3 or 4.
    pub fn read(device: &File) -> io::Result<Option<Self>> {
        let mut bytes = [0; LENGTH];
        match device.read_exact_at(&mut bytes, AT) {
            Ok(()) => Ok(Self::parse(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn parse(bytes: &[u8; LENGTH]) -> Option<Self> {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let magic = u16::from_le_bytes([bytes[0x38], bytes[0x39]]);
        let log_block = word(0x18);
        // 1 to 64 KiB.
        if magic != MAGIC || log_block > 6 {
            return None;
        }
        let incompatible = word(0x60);
        let high = if incompatible & BITS_64 == 0 {
            0
        } else {
            word(0x150)
        };
        Some(Self {
            blocks: u64::from(high) << 32 | u64::from(word(4)),
            block_bytes: 1024 << log_block,
            is_dirty: incompatible & RECOVER != 0,
        })
    }

    pub fn bytes(&self) -> u64 {
        self.blocks.saturating_mul(self.block_bytes)
    }
}

/// Of a block device.
pub fn device_bytes(device: &File) -> io::Result<u64> {
    let mut bytes: u64 = 0;
    // SAFETY: BLKGETSIZE64 writes one u64.
    match unsafe { libc::ioctl(device.as_raw_fd(), BLKGETSIZE64, &raw mut bytes) } {
        0 => Ok(bytes),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Grows the file system to what its device holds; gives its bytes afterwards.
///
/// `inside`: any directory of it, opened where it is writable
pub fn grow(device: &File, inside: impl AsFd) -> io::Result<u64> {
    let not_ours = || {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "it holds no ext4, which alone can grow",
        )
    };
    let before = Superblock::read(device)?.ok_or_else(not_ours)?;
    let blocks = device_bytes(device)? / before.block_bytes;
    if blocks <= before.blocks {
        return Ok(before.bytes());
    }
    // SAFETY: EXT4_IOC_RESIZE_FS reads one u64.
    let refused = unsafe { libc::ioctl(inside.as_fd().as_raw_fd(), EXT4_IOC_RESIZE_FS, &raw const blocks) };
    if refused != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Superblock::read(device)?.ok_or_else(not_ours)?.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn superblock(change: impl FnOnce(&mut [u8; LENGTH])) -> Option<Superblock> {
        let mut bytes = [0; LENGTH];
        bytes[4..8].copy_from_slice(&1000_u32.to_le_bytes());
        bytes[0x18] = 2;
        bytes[0x38..0x3a].copy_from_slice(&MAGIC.to_le_bytes());
        change(&mut bytes);
        Superblock::parse(&bytes)
    }

    #[test]
    fn reads_size_and_state() {
        let plain = superblock(|_| ()).unwrap();
        assert_eq!((plain.bytes(), plain.is_dirty), (4096 * 1000, false));
        let large = superblock(|bytes| {
            bytes[0x60..0x64].copy_from_slice(&(RECOVER | BITS_64).to_le_bytes());
            bytes[0x150] = 1;
        });
        assert_eq!(
            large.map(|found| (found.blocks, found.is_dirty)),
            Some((0x1_0000_03e8, true))
        );
    }

    #[test]
    fn takes_nothing_else_for_it() {
        assert_eq!(superblock(|bytes| bytes[0x38] = 0), None);
        assert_eq!(superblock(|bytes| bytes[0x18] = 7), None);
        let short = std::env::temp_dir().join(format!("kiln-ext4-{}", std::process::id()));
        std::fs::write(&short, [0; 2000]).unwrap();
        let read = Superblock::read(&File::open(&short).unwrap());
        std::fs::remove_file(&short).unwrap();
        assert_eq!(read.unwrap(), None);
    }
}
