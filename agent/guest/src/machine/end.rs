//! How a guest ends: everything on disk, then the one call after which nothing comes.

use std::fs;

use rustix::mount::{MountFlags, UnmountFlags, mount_remount, unmount};
use rustix::system::{RebootCommand, reboot};

use crate::agent::Agent;
use crate::console;
use crate::proto::EndAction;
use crate::role::Role;

/// Brings the disks into a state that needs no repair: the root read-only and synced.
pub fn settle_disks() {
    rustix::fs::sync();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for target in to_unmount(&mounts) {
        // What is busy is synced all the same.
        let _ = unmount(target.as_str(), UnmountFlags::empty());
    }
    if let Err(error) = mount_remount("/", MountFlags::RDONLY, c"") {
        console::info(format_args!("the root stays writable: {error}"));
    }
    rustix::fs::sync();
}

/// Mount points on disks, innermost first; the kernel's own file systems hold nothing.
fn to_unmount(mountinfo: &str) -> Vec<String> {
    let mut targets: Vec<String> = mountinfo
        .lines()
        .filter_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let target = left.split(' ').nth(4)?;
            let on_disk = right.split(' ').nth(1)?.starts_with("/dev/");
            (on_disk && target != "/").then(|| unescape(target))
        })
        .collect();
    targets.reverse();
    targets
}

/// Spaces and the like are written as \040 (proc(5)).
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let octal = tail
            .first_chunk::<3>()
            .filter(|digits| digits.iter().all(|digit| (b'0'..b'8').contains(digit)));
        match octal {
            Some(&[a, b, c]) if byte == b'\\' && a < b'4' => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = &tail[3..];
            }
            _ => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Ends the machine as its VMM understands it.
pub fn end_machine(agent: &Agent) -> ! {
    match agent.role() {
        Role::Host => std::process::exit(0),
        Role::Init | Role::BesideInit => {
            let command = match agent.end_action.get() {
                EndAction::Restart => RebootCommand::Restart,
                EndAction::Poweroff | EndAction::Unspecified => RebootCommand::PowerOff,
            };
            let refused = reboot(command);
            // Cannot be on a kernel that runs this; if it is, a panic ends the machine as well.
            panic!("the machine does not end: {refused:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unmounts_disks_innermost_first_and_leaves_the_kernels_own() {
        let mountinfo = "22 1 253:0 / / rw,relatime - ext4 /dev/dm-0 rw\n\
            23 22 0:5 / /proc rw - proc proc rw\n\
            24 22 254:32 / /lib/modules/6.1 ro - ext4 /dev/vdc ro\n\
            25 22 0:30 /hosts /etc/hosts rw shared:1 - tmpfs tmpfs rw\n\
            26 22 254:48 / /data\\040one rw - ext4 /dev/vdd rw\n\
            garbage\n";
        assert_eq!(to_unmount(mountinfo), ["/data one", "/lib/modules/6.1"]);
    }

    #[test]
    fn reads_escapes_and_only_those() {
        assert_eq!(unescape("/a\\134b\\011c\\9"), "/a\\b\tc\\9");
    }
}
