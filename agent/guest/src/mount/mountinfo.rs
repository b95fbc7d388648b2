//! /proc/self/mountinfo (proc_pid_mountinfo(5)).

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// One mount, as much of it as is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub id: u64,
    pub parent: u64,
    /// "254:48"
    pub device: String,
    /// What of the file system is mounted: "/" for all of it.
    pub root: PathBuf,
    pub place: PathBuf,
    pub kind: String,
    pub source: String,
}

/// All that can be seen from the root, in the order in which they were made, more or less.
pub fn read() -> io::Result<Vec<Mount>> {
    Ok(parse(&fs::read("/proc/self/mountinfo")?))
}

pub fn parse(text: &[u8]) -> Vec<Mount> {
    text.split(|&byte| byte == b'\n').filter_map(line).collect()
}

fn line(line: &[u8]) -> Option<Mount> {
    let mut words = line.split(|&byte| byte == b' ');
    let mut number = || std::str::from_utf8(words.next()?).ok()?.parse().ok();
    let (id, parent) = (number()?, number()?);
    let text = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
    let device = text(words.next()?);
    let mut path = || Some(PathBuf::from(OsString::from_vec(unescape(words.next()?))));
    let (root, place) = (path()?, path()?);
    // Any number of fields, then a dash.
    words.by_ref().find(|&word| word == b"-")?;
    let kind = text(words.next()?);
    let source = text(&unescape(words.next()?));
    Some(Mount {
        id,
        parent,
        device,
        root,
        place,
        kind,
        source,
    })
}

/// Spaces and the like are written as \040.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
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
    bytes
}

/// The kernel's number of the mount that a descriptor is on.
pub fn id_of(fd: impl AsFd) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd()))?;
    let id = text.lines().find_map(|line| line.strip_prefix("mnt_id:"));
    let id = id.and_then(|id| id.trim().parse().ok());
    id.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn reads_what_the_kernel_writes() {
        let text = b"22 1 253:0 / / rw,relatime - ext4 /dev/dm-0 rw\n\
            25 22 0:30 /hosts /etc/hosts rw shared:1 master:2 - tmpfs a\\040b rw\n\
            26 22 254:48 / /data\\040\xff rw - ext4 /dev/vdd rw\n\
            garbage\n9 9 9:9 / /cut rw\n";
        let mounts = parse(text);
        assert_eq!(mounts.len(), 3);
        assert_eq!(
            (mounts[1].id, mounts[1].parent, mounts[1].source.as_str()),
            (25, 22, "a b")
        );
        assert_eq!(mounts[1].root, Path::new("/hosts"));
        let odd = OsString::from_vec(b"/data \xff".to_vec());
        assert_eq!(
            (mounts[2].place.as_path(), mounts[2].device.as_str()),
            (Path::new(&odd), "254:48")
        );
    }

    #[test]
    fn reads_escapes_and_only_those() {
        assert_eq!(unescape(b"/a\\134b\\011c\\9"), b"/a\\b\tc\\9");
    }

    #[test]
    fn finds_the_mount_of_a_descriptor() {
        let root = fs::File::open("/").unwrap();
        let id = id_of(&root).unwrap();
        assert!(read().unwrap().iter().any(|mount| mount.id == id));
    }
}
