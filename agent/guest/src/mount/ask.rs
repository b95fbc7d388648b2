//! What the host asks to be mounted: checked before anything is done, and put into an order in which each can be made.

use std::path::{Path, PathBuf};

use crate::grpc::status::{Code, Result, Status};
use crate::proto::GuestMount;
use crate::proto::guest_mount::Source;

/// More than a guest of ours has disks and ports for.
pub const MOST: usize = 256;
const MAX_ID: usize = 40;
/// PATH_MAX, with its end.
const MAX_PATH: usize = 4095;
/// Longer than any name in /proc/filesystems.
const MAX_FILESYSTEM: usize = 16;

/// Refuses what no host of ours asks for.
pub fn check(asked: &GuestMount) -> Result<()> {
    let GuestMount { id, target, .. } = asked;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if id.is_empty() || id.len() > MAX_ID || !id.bytes().all(plain) {
        return Err(Status::invalid(format!(
            "\"{}\" is no id of a mount",
            id.escape_debug()
        )));
    }
    let refused = |why: &str| Status::invalid(format!("mount {}: {why}", target.escape_debug()));
    if !target.starts_with('/') || target.contains('\0') || target.len() > MAX_PATH {
        return Err(refused("the target is no absolute path"));
    }
    check_subpath(&asked.subpath).map_err(refused)?;
    match &asked.source {
        None => Err(refused(
            "there is no source, or one that this agent does not know",
        )),
        Some(Source::Disk(disk)) => {
            let known = |byte: u8| plain(byte) || byte == b'_';
            if disk.serial.is_empty() {
                Err(refused("the disk has no serial"))
            } else if disk.filesystem.len() > MAX_FILESYSTEM || !disk.filesystem.bytes().all(known) {
                Err(refused("there is no such file system"))
            } else if disk.node && (disk.fill || !asked.subpath.is_empty()) {
                Err(refused("a device has no files"))
            } else if disk.fill && asked.read_only {
                Err(refused("what is read-only can't be filled"))
            } else {
                Ok(())
            }
        }
        Some(Source::Tmpfs(_)) if !asked.subpath.is_empty() => Err(refused("a tmpfs is empty")),
        Some(Source::Tmpfs(tmpfs)) if tmpfs.mode > 0o7777 => Err(refused("the mode is none")),
        Some(Source::Tmpfs(_)) => Ok(()),
        Some(Source::Share(share)) => {
            check_subpath(&share.file).map_err(refused)?;
            if share.file.contains('/') {
                return Err(refused("the file is no name"));
            }
            Ok(())
        }
    }
}

/// Names and nothing else: what they lead to is looked at inside the source alone.
fn check_subpath(path: &str) -> std::result::Result<(), &'static str> {
    let bad = |name: &str| name.is_empty() || name == "." || name == "..";
    if path.is_empty() {
        return Ok(());
    }
    if path.len() > MAX_PATH || path.contains('\0') || path.split('/').any(bad) {
        return Err("the path below the source is not plain");
    }
    Ok(())
}

/// Checks all of a boot's.
pub fn check_all(asked: &[GuestMount]) -> Result<()> {
    if asked.len() > MOST {
        return Err(Status::invalid(format!("more than {MOST} mounts")));
    }
    for (index, mount) in asked.iter().enumerate() {
        check(mount)?;
        if asked[..index].iter().any(|other| other.id == mount.id) {
            return Err(Status::invalid(format!("two mounts have the id {}", mount.id)));
        }
    }
    Ok(())
}

/// As asked, but what is below another one's target comes after it: else that would cover it.
///
/// `place`: where a target leads in the root as it is now
pub fn in_order(
    asked: Vec<GuestMount>,
    place: impl Fn(&str) -> PathBuf,
) -> Result<Vec<(PathBuf, GuestMount)>> {
    let mut ordered: Vec<(PathBuf, GuestMount)> = Vec::with_capacity(asked.len());
    for mount in asked {
        let at = place(&mount.target);
        if let Some((_, other)) = ordered.iter().find(|(place, _)| *place == at) {
            return Err(taken(&mount.target, &other.target, &other.id));
        }
        let below = ordered.iter().position(|(place, _)| is_below(place, &at));
        ordered.insert(below.unwrap_or(ordered.len()), (at, mount));
    }
    Ok(ordered)
}

pub fn is_below(path: &Path, other: &Path) -> bool {
    path != other && path.starts_with(other)
}

pub fn taken(target: &str, other: &str, id: &str) -> Status {
    let text = format!("mount {target}: {other} is mounted there, as {id}");
    Status::new(Code::AlreadyExists, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{DiskMount, ShareMount, TmpfsMount};

    fn tmpfs(id: &str, target: &str) -> GuestMount {
        GuestMount {
            id: id.to_owned(),
            target: target.to_owned(),
            source: Some(Source::Tmpfs(TmpfsMount::default())),
            ..Default::default()
        }
    }

    fn disk(change: impl FnOnce(&mut GuestMount, &mut DiskMount)) -> GuestMount {
        let mut disk = DiskMount {
            serial: "s".to_owned(),
            ..Default::default()
        };
        let mut mount = tmpfs("a", "/a");
        change(&mut mount, &mut disk);
        mount.source = Some(Source::Disk(disk));
        mount
    }

    #[test]
    fn parents_come_first_and_everything_else_as_asked() {
        let asked = ["/z", "/a/b/c", "/data", "/a/b", "/ab", "/a"];
        let mounts = (0..)
            .zip(asked)
            .map(|(index, target)| tmpfs(&format!("m{index}"), target));
        let ordered = in_order(mounts.collect(), |target| PathBuf::from(target)).unwrap();
        let targets: Vec<&str> = ordered.iter().map(|(_, mount)| mount.target.as_str()).collect();
        assert_eq!(targets, ["/z", "/a", "/a/b", "/a/b/c", "/data", "/ab"]);
    }

    #[test]
    fn parents_are_told_by_where_links_lead() {
        let place = |target: &str| PathBuf::from(target.replace("/link", "/real"));
        let mounts = vec![tmpfs("a", "/link/x"), tmpfs("b", "/real")];
        let ordered = in_order(mounts, place).unwrap();
        assert_eq!(ordered[0].1.id, "b");
        let twice = vec![tmpfs("a", "/link"), tmpfs("b", "/real")];
        let refused = in_order(twice, place).unwrap_err();
        assert_eq!(refused.code, Code::AlreadyExists);
    }

    #[test]
    fn takes_plain_requests() {
        let share = GuestMount {
            source: Some(Source::Share(ShareMount {
                file: "a.conf".to_owned(),
                ..Default::default()
            })),
            ..tmpfs("s-1", "/etc/a.conf")
        };
        let filled = disk(|mount, disk| {
            mount.subpath = "data/sub dir".to_owned();
            disk.fill = true;
        });
        let all = vec![tmpfs("t", "/run/a b"), share, filled];
        assert_eq!(check_all(&all), Ok(()));
    }

    #[test]
    fn refuses_what_no_host_asks_for() {
        let bad = [
            tmpfs("", "/a"),
            tmpfs("A", "/a"),
            tmpfs(&"a".repeat(41), "/a"),
            tmpfs("a", "a"),
            tmpfs("a", "/a\0"),
            tmpfs("a", &"/a".repeat(4096)),
            GuestMount {
                source: None,
                ..tmpfs("a", "/a")
            },
            GuestMount {
                subpath: "x".to_owned(),
                ..tmpfs("a", "/a")
            },
            disk(|_, disk| disk.serial.clear()),
            disk(|_, disk| disk.filesystem = "../ext4".to_owned()),
            disk(|mount, disk| (mount.read_only, disk.fill) = (true, true)),
            disk(|_, disk| (disk.node, disk.fill) = (true, true)),
            disk(|mount, _| mount.subpath = "../up".to_owned()),
            disk(|mount, _| mount.subpath = "/etc".to_owned()),
            disk(|mount, _| mount.subpath = "a//b".to_owned()),
            GuestMount {
                source: Some(Source::Share(ShareMount {
                    file: "../shadow".to_owned(),
                    ..Default::default()
                })),
                ..tmpfs("a", "/a")
            },
        ];
        for (index, mount) in bad.iter().enumerate() {
            assert!(check(mount).is_err(), "{index}: {mount:?}");
        }
        assert!(check_all(&[tmpfs("a", "/a"), tmpfs("a", "/b")]).is_err());
        let many: Vec<_> = (0..=MOST)
            .map(|index| tmpfs(&format!("m{index}"), "/a"))
            .collect();
        assert!(check_all(&many).is_err());
    }
}
