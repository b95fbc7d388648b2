//! Who uses a mount: for the one line that says why it stays.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use super::mountinfo::{self, Mount};
use super::node;

/// A process, for people: "postgres (pid 42)".
type Holder = String;

/// What of a process is looked at.
#[derive(Clone, Copy)]
enum By<'a> {
    /// The device number of a file system, "254:48".
    FileSystem(&'a str),
    /// That of a block device, which is open.
    Device(&'a str),
}

/// The first thing that is found to keep `mount` in use.
pub fn holder(mount: &Mount, all: &[Mount]) -> Holder {
    let below = all.iter().find(|other| other.parent == mount.id);
    if let Some(below) = below {
        return format!(
            "what is mounted on {}",
            below.place.display().to_string().escape_debug()
        );
    }
    process(By::FileSystem(&mount.device)).unwrap_or_else(|| "something that no process shows".to_owned())
}

/// Who has a block device open, or mounted.
pub fn holder_of_device(number: &str, all: &[Mount]) -> Option<Holder> {
    let mounted = all.iter().find(|mount| mount.device == number);
    mounted.map(mount_on).or_else(|| process(By::Device(number)))
}

pub fn mount_on(mount: &Mount) -> Holder {
    format!("a mount on {}", mount.place.display().to_string().escape_debug())
}

/// Who sees a block device's file system mounted, in whichever namespace: containers have their own.
pub fn mounted_by(device: &str) -> Holder {
    let unseen = || "a mount that no process shows".to_owned();
    let Ok(number) = node::number_of(device) else {
        return unseen();
    };
    let number = format!("{}:{}", rustix::fs::major(number), rustix::fs::minor(number));
    let own = std::process::id();
    let seen = pids().find_map(|pid| {
        let all = mountinfo::parse(&fs::read(format!("/proc/{pid}/mountinfo")).ok()?);
        let mount = all.iter().find(|mount| mount.device == number)?;
        Some(format!("{} of {}", mount_on(mount), name(pid, own)))
    });
    seen.unwrap_or_else(unseen)
}

fn process(by: By<'_>) -> Option<Holder> {
    let own = std::process::id();
    pids().find(|&pid| holds(pid, by)).map(|pid| name(pid, own))
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn name(pid: u32, own: u32) -> Holder {
    if pid == own {
        return "kiln itself: files are being copied".to_owned();
    }
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    format!("{} (pid {pid})", name.trim_end().escape_debug())
}

fn holds(pid: u32, by: By<'_>) -> bool {
    let process = format!("/proc/{pid}");
    if let By::FileSystem(number) = by {
        let entered = ["cwd", "root", "exe"]
            .iter()
            .any(|link| is_on(format!("{process}/{link}"), by));
        // 7f..-7f.. r--p 00000000 fe:30 1234 /data/lib.so
        let maps = fs::read(format!("{process}/maps")).unwrap_or_default();
        let text = String::from_utf8_lossy(&maps);
        let mapped = text
            .lines()
            .filter_map(|line| line.split(' ').nth(3))
            .any(|device| is_same(device, number));
        if entered || mapped {
            return true;
        }
    }
    let open = fs::read_dir(format!("{process}/fd"))
        .into_iter()
        .flatten()
        .flatten();
    open.map(|entry| entry.path()).any(|path| is_on(&path, by))
}

/// Without asking a file system that may not answer.
fn is_on(link: impl AsRef<Path>, by: By<'_>) -> bool {
    let Ok(found) = statx(CWD, link.as_ref(), AtFlags::STATX_DONT_SYNC, StatxFlags::TYPE) else {
        return false;
    };
    match by {
        By::FileSystem(number) => number == format!("{}:{}", found.stx_dev_major, found.stx_dev_minor),
        By::Device(number) => {
            number == format!("{}:{}", found.stx_rdev_major, found.stx_rdev_minor)
                && fs::metadata(link).is_ok_and(|found| found.file_type().is_block_device())
        }
    }
}

/// maps writes numbers in hexadecimal, mountinfo in decimal.
fn is_same(hexadecimal: &str, decimal: &str) -> bool {
    let parse = |text: &str, radix| {
        let (major, minor) = text.split_once(':')?;
        Some((
            u32::from_str_radix(major, radix).ok()?,
            u32::from_str_radix(minor, radix).ok()?,
        ))
    };
    let device = parse(decimal, 10);
    device.is_some() && parse(hexadecimal, 16) == device
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mount::mountinfo;

    #[test]
    fn reads_device_numbers_of_both_kinds() {
        assert!(is_same("fe:30", "254:48"));
        assert!(!is_same("fe:30", "254:30"));
        assert!(!is_same("", ""));
    }

    #[test]
    fn finds_who_has_a_file_open() {
        let file = fs::File::open("/proc/self/exe").unwrap();
        let id = mountinfo::id_of(&file).unwrap();
        let all = mountinfo::read().unwrap();
        let mount = all.iter().find(|mount| mount.id == id).unwrap();
        let held = mount.device.clone();
        assert!(holds(std::process::id(), By::FileSystem(&held)));
        assert_eq!(name(7, 7), "kiln itself: files are being copied");
    }

    #[test]
    fn names_what_is_mounted_on_it_first() {
        let mounts = mountinfo::parse(
            b"22 1 253:0 / / rw - ext4 /dev/dm-0 rw\n26 22 254:48 / /data rw - ext4 /dev/vdd rw\n\
            27 26 0:50 / /data/x rw - tmpfs t rw\n",
        );
        assert_eq!(holder(&mounts[1], &mounts), "what is mounted on /data/x");
        let device = holder_of_device("254:48", &mounts);
        assert_eq!(device.as_deref(), Some("a mount on /data"));
    }
}
