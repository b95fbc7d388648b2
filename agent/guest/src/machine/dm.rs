//! Device-mapper by its ioctls: one snapshot device that joins the shared base and the VM's own cow.
//!
//! Layout and numbers are those of linux/dm-ioctl.h, interface version 4.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

const CONTROL: &str = "/dev/mapper/control";
const HEADER: usize = 312;
const TARGET: usize = 40;
const NAME: &str = "root";

const DEV_CREATE: u64 = 3;
const DEV_REMOVE: u64 = 4;
const DEV_SUSPEND: u64 = 6;
const TABLE_LOAD: u64 = 9;

/// What is to be joined.
#[derive(Clone, Debug)]
pub struct Snapshot<'a> {
    /// Read-only.
    pub base: &'a str,
    pub cow: &'a str,
    pub persistent: bool,
    pub chunk_sectors: u32,
}

impl Snapshot<'_> {
    /// The table's parameters. `PO`, never `P`: when a `P` cow is full the kernel marks it invalid for ever and every
    /// byte of the VM is lost; with `O` a write fails and the cow lives on.
    fn parameters(&self) -> String {
        let kind = if self.persistent { "PO" } else { "N" };
        format!("{} {} {kind} {}", self.base, self.cow, self.chunk_sectors)
    }
}

/// Makes the device and gives its path.
pub fn create(snapshot: &Snapshot<'_>) -> io::Result<String> {
    let sectors = sectors_of(snapshot.base)?;
    let control = File::options()
        .read(true)
        .write(true)
        .open(CONTROL)
        .map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("{CONTROL}: {error} (the kernel needs dm_mod and dm_snapshot)"),
            )
        })?;
    let device = call(&control, DEV_CREATE, &mut message(None))?;
    let loaded = call(
        &control,
        TABLE_LOAD,
        &mut message(Some((sectors, "snapshot", &snapshot.parameters()))),
    )
    .and_then(|_| call(&control, DEV_SUSPEND, &mut message(None)));
    if let Err(error) = loaded {
        // So that another attempt does not meet half a device.
        let _ = call(&control, DEV_REMOVE, &mut message(None));
        return Err(error);
    }
    Ok(format!("/dev/dm-{}", minor(device)))
}

fn sectors_of(device: &str) -> io::Result<u64> {
    let file =
        File::open(device).map_err(|error| io::Error::new(error.kind(), format!("{device}: {error}")))?;
    let mut bytes: u64 = 0;
    // SAFETY: BLKGETSIZE64 writes one u64.
    match unsafe { libc::ioctl(file.as_raw_fd(), BLKGETSIZE64, &raw mut bytes) } {
        0 => Ok(bytes / 512),
        _ => Err(io::Error::last_os_error()),
    }
}

const BLKGETSIZE64: libc::Ioctl = 0x8008_1272;

/// Runs one command; gives the device number from the answer.
fn call(control: &File, command: u64, message: &mut [u8]) -> io::Result<u64> {
    let request = 0xc000_0000 | (HEADER as u64) << 16 | 0xfd << 8 | command;
    // SAFETY: `message` begins with a dm_ioctl whose data_size is the buffer's length; the kernel writes within it.
    match unsafe { libc::ioctl(control.as_raw_fd(), request as libc::Ioctl, message.as_mut_ptr()) } {
        0 => Ok(u64::from_ne_bytes(
            message[40..48].try_into().expect("eight bytes"),
        )),
        _ => Err(io::Error::last_os_error()),
    }
}

/// struct dm_ioctl, with one dm_target_spec and its parameters behind it where a table is loaded.
fn message(table: Option<(u64, &str, &str)>) -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    if let Some((sectors, kind, parameters)) = table {
        let length = (TARGET + parameters.len() + 1).next_multiple_of(8);
        let mut target = vec![0; length];
        target[8..16].copy_from_slice(&sectors.to_ne_bytes());
        target[20..24].copy_from_slice(&(length as u32).to_ne_bytes());
        target[24..24 + kind.len()].copy_from_slice(kind.as_bytes());
        target[TARGET..TARGET + parameters.len()].copy_from_slice(parameters.as_bytes());
        bytes.extend(target);
        bytes[20..24].copy_from_slice(&1_u32.to_ne_bytes());
    }
    bytes[..4].copy_from_slice(&4_u32.to_ne_bytes());
    let size = bytes.len() as u32;
    bytes[12..16].copy_from_slice(&size.to_ne_bytes());
    bytes[16..20].copy_from_slice(&(HEADER as u32).to_ne_bytes());
    bytes[48..48 + NAME.len()].copy_from_slice(NAME.as_bytes());
    bytes
}

/// The minor of the kernel's huge device number.
const fn minor(device: u64) -> u64 {
    device & 0xff | device >> 12 & 0xfff00
}

#[cfg(test)]
mod tests {
    use super::*;

    const SNAPSHOT: Snapshot<'_> = Snapshot {
        base: "/dev/vda",
        cow: "/dev/vdb",
        persistent: true,
        chunk_sectors: 128,
    };

    #[test]
    fn a_full_cow_never_loses_the_disk() {
        assert_eq!(SNAPSHOT.parameters(), "/dev/vda /dev/vdb PO 128");
    }

    #[test]
    fn a_throw_away_cow_writes_no_table() {
        let snapshot = Snapshot {
            persistent: false,
            ..SNAPSHOT
        };
        assert_eq!(snapshot.parameters(), "/dev/vda /dev/vdb N 128");
    }

    #[test]
    fn lays_a_table_out_as_the_kernel_reads_it() {
        let bytes = message(Some((2048, "snapshot", "a b PO 128")));
        assert_eq!(bytes.len(), HEADER + 56);
        assert_eq!(bytes[12..16], 368_u32.to_ne_bytes());
        assert_eq!(bytes[20..24], 1_u32.to_ne_bytes());
        assert_eq!(&bytes[48..53], b"root\0");
        assert_eq!(bytes[HEADER + 8..HEADER + 16], 2048_u64.to_ne_bytes());
        assert_eq!(&bytes[HEADER + 24..HEADER + 33], b"snapshot\0");
        assert_eq!(&bytes[HEADER + 40..HEADER + 51], b"a b PO 128\0");
    }

    #[test]
    fn reads_minors_beyond_one_byte() {
        assert_eq!(minor(0xfd00), 0);
        assert_eq!(minor(0xfd03), 3);
        assert_eq!(minor(0x10_fd02), 0x102);
    }
}
