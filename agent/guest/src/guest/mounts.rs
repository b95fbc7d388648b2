//! The kernel's own file systems, before and after the root is there.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::Path;

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change, mount_move};

use crate::grpc::status::{Result, Status};

const PLAIN: MountFlags = MountFlags::NOSUID
    .union(MountFlags::NODEV)
    .union(MountFlags::NOEXEC);

fn mount_at(kind: &str, target: &str, flags: MountFlags, data: &std::ffi::CStr) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(target)?;
    mount(kind, target, kind, flags, data)?;
    Ok(())
}

/// Devices that udev's rules open to every user, where there is a udev: each open of them is a thing of its own.
const FOR_EVERYBODY: [&str; 2] = ["/dev/fuse", "/dev/net/tun"];

/// What the agent needs to look around: /proc, /sys and /dev of the initramfs.
pub fn mount_first() -> io::Result<()> {
    mount_at("proc", "/proc", PLAIN, c"")?;
    mount_at("sysfs", "/sys", PLAIN, c"")?;
    // Some kernels mount it by themselves (CONFIG_DEVTMPFS_MOUNT).
    mount_at("devtmpfs", "/dev", MountFlags::NOSUID, c"mode=0755")
}

/// What programs expect besides: terminals, shared memory, cgroups. A kernel without one of them still runs most
/// programs, so only terminals are a must.
pub fn mount_rest() -> io::Result<()> {
    mount_at(
        "devpts",
        "/dev/pts",
        MountFlags::NOSUID | MountFlags::NOEXEC,
        c"gid=5,mode=0620,ptmxmode=0666",
    )?;
    let _ = mount_at(
        "tmpfs",
        "/dev/shm",
        MountFlags::NOSUID | MountFlags::NODEV,
        c"mode=1777",
    );
    let _ = mount_at("mqueue", "/dev/mqueue", PLAIN, c"");
    let _ = mount_at(
        "cgroup2",
        "/sys/fs/cgroup",
        PLAIN,
        c"nsdelegate,memory_recursiveprot",
    );
    for (link, target) in [
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
    ] {
        let _ = symlink(target, link);
    }
    for device in FOR_EVERYBODY {
        // A kernel without it, or with it in a module, has no such device.
        let _ = fs::set_permissions(device, fs::Permissions::from_mode(0o666));
    }
    Ok(())
}

/// Lets what is mounted later be seen in mount namespaces made before, as systemd does: the kubelet and podman without
/// root ask for it. Nothing can be moved out of a shared mount, so this comes after every move.
pub fn share_all() -> io::Result<()> {
    mount_change("/", MountPropagationFlags::SHARED | MountPropagationFlags::REC)?;
    Ok(())
}

/// A fresh /run, for an init that expects one. App mode keeps the image's own: programs find the directories there
/// that their image made for them.
pub fn mount_run() -> io::Result<()> {
    mount_at(
        "tmpfs",
        "/run",
        MountFlags::NOSUID | MountFlags::NODEV,
        c"mode=0755",
    )
}

/// Moves what is mounted into the new root. A root without the directory gets it, as with Docker; a root that has
/// something else there is refused: following its symlink would mount outside of it.
pub fn move_into(root: &str, targets: &[&str]) -> Result<()> {
    for target in targets {
        let inside = format!("{root}{target}");
        match fs::symlink_metadata(&inside) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => {
                return Err(Status::precondition(format!(
                    "{target} of the image is no directory"
                )));
            }
            Err(_) => fs::DirBuilder::new()
                .mode(0o755)
                .create(Path::new(&inside))
                .map_err(|error| Status::from_io(format_args!("make {target} in the root"), error))?,
        }
        mount_move(*target, inside.as_str())
            .map_err(|error| Status::from_io(format_args!("move {target} into the root"), error))?;
    }
    Ok(())
}
