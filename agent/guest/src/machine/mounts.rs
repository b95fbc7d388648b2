//! The kernel's own file systems, before and after the root is there.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change, mount_move, mount_remount};

use super::paths;
use crate::console;
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

/// What of memory /dev/shm may take; 0: what the kernel gives it, the half.
pub fn size_shm(bytes: u64) -> io::Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    let data = std::ffi::CString::new(format!("mode=1777,size={bytes}")).expect("no NUL");
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    Ok(mount_remount("/dev/shm", flags, data.as_c_str())?)
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

/// Moves what is mounted into the new root. A root without the directory gets it, as with Docker; a link is followed
/// inside the root, also to nothing. What leaves no place for the mount (a file, a loop, a link to the root itself or into
/// another of the mounts) is replaced by a directory: no program runs without these.
pub fn move_into(root: &str, targets: &[&str]) -> Result<()> {
    let mut taken = vec![Path::new(root).to_path_buf()];
    for target in targets {
        let inside = place_for(Path::new(root), Path::new(target), &taken)
            .map_err(|error| Status::from_io(format_args!("make {target} in the root"), error))?;
        mount_move(*target, &inside)
            .map_err(|error| Status::from_io(format_args!("move {target} into the root"), error))?;
        taken.push(inside);
    }
    Ok(())
}

/// A directory of the root for a mount. `taken` begins with the root itself.
fn place_for(root: &Path, target: &Path, taken: &[PathBuf]) -> io::Result<PathBuf> {
    let is_free = |place: &PathBuf| place != root && !taken[1..].iter().any(|other| place.starts_with(other));
    match paths::make_directory(root, target) {
        Ok(place) if is_free(&place) => return Ok(place),
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => return Err(error),
        _ => {}
    }
    let own = root.join(target.strip_prefix("/").unwrap_or(target));
    console::error(format_args!(
        "{} of the image cannot hold its mount, and becomes a directory",
        target.display()
    ));
    fs::remove_file(&own)?;
    fs::DirBuilder::new().mode(0o755).create(&own)?;
    Ok(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_place_for_a_mount_in_the_oddest_root() {
        let root = std::env::temp_dir().join(format!("kiln-mounts-{}", std::process::id()));
        fs::create_dir(&root).unwrap();
        let place = |target: &str, taken: &[PathBuf]| {
            let taken = [std::slice::from_ref(&root), taken].concat();
            place_for(&root, Path::new(target), &taken).unwrap()
        };
        assert_eq!(place("/proc", &[]), root.join("proc"));
        symlink("/kernel/sys", root.join("sys")).unwrap();
        assert_eq!(place("/sys", &[]), root.join("kernel/sys"));
        // A file, a loop, the root itself, a place that another mount has.
        fs::write(root.join("dev"), "").unwrap();
        assert_eq!(place("/dev", &[]), root.join("dev"));
        symlink("run", root.join("run")).unwrap();
        assert_eq!(place("/run", &[]), root.join("run"));
        symlink("/", root.join("all")).unwrap();
        assert_eq!(place("/all", &[]), root.join("all"));
        symlink("/proc/below", root.join("twice")).unwrap();
        assert_eq!(place("/twice", &[root.join("proc")]), root.join("twice"));
        for name in ["proc", "kernel/sys", "dev", "run", "all", "twice"] {
            assert!(fs::symlink_metadata(root.join(name)).unwrap().is_dir(), "{name}");
        }
        fs::remove_dir_all(&root).unwrap();
    }
}
