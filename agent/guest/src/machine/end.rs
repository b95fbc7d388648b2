//! How a guest ends: everything on disk, then the one call after which nothing comes.

use std::path::Path;
use std::time::Duration;

use rustix::mount::{MountFlags, UnmountFlags, mount_remount, unmount};
use rustix::system::{RebootCommand, reboot};
use tokio::time::timeout;

use crate::agent::Agent;
use crate::aside::SYNCS;
use crate::console;
use crate::mount::mountinfo::{self, Mount};
use crate::proto::EndAction;
use crate::role::Role;

/// The kind of a shared directory's mount.
const SHARE: &str = "9p";
/// A disk that does not answer, or a share whose server has gone, holds up no end for longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Brings the disks into a state that needs no repair: unmounted, the root read-only, and all of it synced.
pub async fn settle_disks(agent: &Agent) {
    at_the_end(agent, settle).await;
}

/// What was written is on the disks, and with the servers of shares.
pub async fn sync_disks(agent: &Agent) {
    at_the_end(agent, rustix::fs::sync).await;
}

/// On a thread, and not for ever: it may wait for a disk, or for a share's server that has gone.
async fn at_the_end(agent: &Agent, body: fn()) {
    agent.mounts.end_shares();
    let settled = SYNCS.run(move || {
        body();
        Ok(())
    });
    if timeout(PATIENCE, settled).await.is_err() {
        console::error(format_args!(
            "the machine ends with disks that did not answer in {} s",
            PATIENCE.as_secs()
        ));
    }
}

fn settle() {
    rustix::fs::sync();
    let mounts = mountinfo::read().unwrap_or_default();
    for Mount { place, kind, .. } in to_unmount(&mounts) {
        if unmount(place, UnmountFlags::NOFOLLOW).is_err() && kind != SHARE {
            // What is busy is as whole on its disk all the same.
            let _ = mount_remount(place, MountFlags::RDONLY, c"");
        }
    }
    if let Err(error) = mount_remount("/", MountFlags::RDONLY, c"") {
        console::info(format_args!("the root stays writable: {error}"));
    }
    rustix::fs::sync();
}

/// What holds files of somebody's, the last one first; the kernel's own file systems hold nothing.
fn to_unmount(mounts: &[Mount]) -> impl Iterator<Item = &Mount> {
    let is_kept = |mount: &&Mount| mount.source.starts_with("/dev/") || mount.kind == SHARE;
    let last_first = mounts.iter().rev();
    last_first
        .filter(is_kept)
        .filter(|mount| mount.place != Path::new("/"))
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
    fn unmounts_disks_and_shares_innermost_first_and_leaves_the_kernels_own() {
        let mounts = mountinfo::parse(
            b"22 1 253:0 / / rw,relatime - ext4 /dev/dm-0 rw\n\
            23 22 0:5 / /proc rw - proc proc rw\n\
            24 22 254:32 / /lib/modules/6.1 ro - ext4 /dev/vdc ro\n\
            25 22 0:30 /hosts /etc/hosts rw shared:1 - tmpfs tmpfs rw\n\
            26 22 254:48 / /data\\040one rw - ext4 /dev/vdd rw\n\
            27 26 0:31 / /data\\040one/share rw - 9p kiln rw\n",
        );
        let places: Vec<_> = to_unmount(&mounts)
            .map(|mount| mount.place.to_str().unwrap())
            .collect();
        assert_eq!(places, ["/data one/share", "/data one", "/lib/modules/6.1"]);
    }
}
