//! What is mounted, as the kernel holds it before it has a place: a mount that nobody sees yet.

use std::ffi::CStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string,
    fsmount, fsopen,
};

use super::ext4::{self, Superblock};
use crate::console;
use crate::machine::disks;
use crate::proto::TmpfsMount;

/// What may come as a module, and so is not in /proc/filesystems yet.
const MODULES: [&str; 6] = ["xfs", "btrfs", "vfat", "iso9660", "squashfs", "erofs"];

/// linux/fs.h
const BLKROGET: libc::Ioctl = 0x125e;

/// Makes a file system of the kernel's, with options as mount(8) has them; nothing is visible yet.
pub fn make(
    kind: &str,
    source: &str,
    flags: &[&CStr],
    settings: &[(&str, String)],
    attributes: MountAttrFlags,
) -> io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    let made = (|| {
        fsconfig_set_string(&context, "source", source)?;
        for flag in flags {
            fsconfig_set_flag(&context, *flag)?;
        }
        for (key, value) in settings {
            fsconfig_set_string(&context, *key, value.as_str())?;
        }
        fsconfig_create(&context)?;
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
    })();
    made.map_err(|error| explained(&context, error.into()))
}

/// With what the kernel says of it, where it says anything: "e ext4: ..." (its log of a context).
fn explained(context: &OwnedFd, error: io::Error) -> io::Error {
    let mut text = [0; 512];
    let said = rustix::io::read(context, &mut text).map_or(0, |count| count);
    let said = String::from_utf8_lossy(&text[..said]);
    match said.trim().strip_prefix("e ") {
        Some(said) => io::Error::new(error.kind(), format!("{error} ({})", said.escape_debug())),
        None => error,
    }
}

pub fn tmpfs(asked: &TmpfsMount, read_only: bool) -> io::Result<OwnedFd> {
    let mode = if asked.mode == 0 { 0o1777 } else { asked.mode };
    let mut settings = vec![("mode", format!("{mode:o}"))];
    if asked.size_bytes != 0 {
        settings.push(("size", asked.size_bytes.to_string()));
    }
    for (key, id) in [("uid", asked.uid), ("gid", asked.gid)] {
        if id != 0 {
            settings.push((key, id.to_string()));
        }
    }
    let mut attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    attributes.set(MountAttrFlags::MOUNT_ATTR_NOEXEC, asked.no_exec);
    attributes.set(MountAttrFlags::MOUNT_ATTR_RDONLY, read_only);
    make("tmpfs", "tmpfs", &[], &settings, attributes)
}

/// The file system on a disk, as large as the disk where it can be written to.
///
/// `filesystem`: empty for whichever is on it
pub fn disk(path: &str, filesystem: &str, read_only: bool) -> io::Result<OwnedFd> {
    let device = File::open(path)?;
    let found = Superblock::read(&device)?;
    if found.is_none() || !matches!(filesystem, "" | "ext4") {
        return other(path, filesystem, read_only);
    }
    let is_dirty = found.is_some_and(|superblock| superblock.is_dirty);
    if !read_only {
        // Without it the kernel would write zeros over free inode tables in the background: into a sparse file.
        // And what is removed is given back to the host: not by what is no volume, on whatever device of the user's.
        let gives_back = filesystem == "ext4" && takes_discards(&device);
        let flags: &[&CStr] = if gives_back {
            &[c"noinit_itable", c"discard"]
        } else {
            &[c"noinit_itable"]
        };
        let mount = make("ext4", path, flags, &[], MountAttrFlags::empty())?;
        grow_or_tell(path, &device, &mount);
        return Ok(mount);
    }
    let flags: &[&CStr] = match (is_dirty, is_writable(&device)) {
        // Nothing to be brought into its place, and so nothing is: not by several readers of one disk, either.
        (false, _) => &[c"ro", c"noload"],
        (true, true) => &[c"ro"],
        // With `noload` it would be read as it was before its last writes, or half of them.
        (true, false) => {
            let text =
                "it was not unmounted in order, and has to be mounted writable once before it can be read";
            return Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, text));
        }
    };
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY;
    match make("ext4", path, flags, &[], attributes) {
        // Another mount of this guest has it writable: this one alone is read-only.
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
            make("ext4", path, &[c"noinit_itable"], &[], attributes)
        }
        made => made,
    }
}

/// Whether the device gives up blocks that nothing is on: with one that does not, the kernel would complain of being asked.
fn takes_discards(device: &File) -> bool {
    let number = rustix::fs::fstat(device).map_or(0, |stat| stat.st_rdev);
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    let most = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/queue/discard_max_bytes"));
    most.is_ok_and(|most| most.trim().parse() != Ok(0_u64))
}

fn other(path: &str, filesystem: &str, read_only: bool) -> io::Result<OwnedFd> {
    let (flags, attributes): (&[&CStr], _) = if read_only {
        (&[c"ro"], MountAttrFlags::MOUNT_ATTR_RDONLY)
    } else {
        (&[], MountAttrFlags::empty())
    };
    if !filesystem.is_empty() {
        return make(filesystem, path, flags, &[], attributes).map_err(|error| match error.raw_os_error() {
            Some(libc::ENODEV) => {
                let text = format!("the guest's kernel knows no file system {filesystem}");
                io::Error::new(io::ErrorKind::InvalidInput, text)
            }
            _ => error,
        });
    }
    let known = known_to_kernel(&fs::read_to_string("/proc/filesystems")?);
    for kind in known.iter().map(String::as_str).chain(MODULES) {
        match make(kind, path, flags, &[], attributes) {
            Ok(mount) => return Ok(mount),
            // It is not this one, or there is no module of it.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENODEV)) => {}
            // What a file system answers that does not know its own mark says nothing of the others.
            Err(error) => console::info(format_args!("{path} as {kind}: {error}")),
        }
    }
    let text = "there is no file system on it that the guest's kernel knows";
    Err(io::Error::new(io::ErrorKind::InvalidData, text))
}

/// Those that live on a disk, but ext4's, whose mark is looked for.
fn known_to_kernel(filesystems: &str) -> Vec<String> {
    let on_disk = filesystems.lines().filter_map(|line| line.strip_prefix('\t'));
    let others = on_disk.filter(|name| !name.starts_with("ext") && !MODULES.contains(name));
    others.map(str::to_owned).collect()
}

/// A file system that stays as small as it was can be used all the same.
fn grow_or_tell(path: &str, device: &File, mount: &OwnedFd) {
    disks::zero_by_holes(path);
    let grown = inside(mount).and_then(|directory| ext4::grow(device, directory));
    if let Err(error) = grown {
        console::error(format_args!("{path} does not grow with its disk: {error}"));
    }
}

/// The root of a mount, as what takes ioctls.
pub fn inside(mount: &OwnedFd) -> io::Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(mount, ".", flags, Mode::empty())?)
}

/// Opening it for writing says nothing: the kernel refuses the writes.
fn is_writable(device: &File) -> bool {
    let mut read_only: libc::c_int = 1;
    // SAFETY: BLKROGET writes one int.
    let asked = unsafe { libc::ioctl(device.as_raw_fd(), BLKROGET, &raw mut read_only) };
    asked == 0 && read_only == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_what_lives_on_disks() {
        let text = "nodev\tsysfs\n\text3\n\text4\nnodev\t9p\n\tf2fs\n\txfs\n\tfuseblk\n";
        assert_eq!(known_to_kernel(text), ["f2fs", "fuseblk"]);
    }
}
