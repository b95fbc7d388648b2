//! Whether a path can be relied on, as `src/base/trusted-path.ts` has it: every component, the targets of links
//! included, belongs to root or to us and can be replaced by nobody else. What is refused here the TypeScript CLI refuses
//! with the reason.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// As the kernel's own limit (path_resolution(7)).
const MOST_LINKS: usize = 40;
const OTHERS_WRITE: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// Who asks.
#[derive(Clone, Copy)]
pub struct Me {
    pub uid: u32,
    pub gid: u32,
}

/// True where all of a path is there and can be relied on.
pub fn is_trusted(path: &str, me: Me) -> bool {
    // Without a change of its text: ".." after a link is the link's parent.
    let Ok(path) = std::path::absolute(path) else {
        return false;
    };
    let parts = path.as_os_str().as_bytes().split(|byte| *byte == b'/');
    let mut pending: VecDeque<OsString> = parts.map(|part| OsString::from_vec(part.to_vec())).collect();
    let mut at = PathBuf::from("/");
    let mut links = 0;
    if judge(&at, me).is_none() {
        return false;
    }
    while let Some(name) = pending.pop_front() {
        if name.is_empty() || name == "." {
            continue;
        }
        if name == ".." {
            at.pop();
            continue;
        }
        let here = at.join(&name);
        match judge(&here, me) {
            None => return false,
            Some(false) => at = here,
            Some(true) => {
                links += 1;
                let Ok(target) = std::fs::read_link(&here) else {
                    return false;
                };
                if links > MOST_LINKS {
                    return false;
                }
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                for part in target.as_os_str().as_bytes().rsplit(|byte| *byte == b'/') {
                    pending.push_front(OsString::from_vec(part.to_vec()));
                }
            }
        }
    }
    true
}

/// Whether a component that can be relied on is a link.
fn judge(component: &Path, me: Me) -> Option<bool> {
    let found = component.symlink_metadata().ok()?;
    let (kind, mode) = (found.file_type(), found.mode());
    if found.uid() != 0 && found.uid() != me.uid && !is_outer_root(component, found.uid()) {
        return None;
    }
    if kind.is_symlink() || kind.is_socket() || (kind.is_dir() && mode & STICKY != 0) {
        return Some(kind.is_symlink());
    }
    // A group of the user's own, which goes with a umask of 002, has the user's number.
    let own_group = me.uid != 0 && found.gid() == me.gid && me.gid == me.uid;
    let writers = mode & if own_group { 0o002 } else { OTHERS_WRITE };
    (writers == 0).then_some(false)
}

/// Somebody from outside this user namespace is taken for root where only the owner of the directory above can have put it
/// there: not in a sticky one, where a neighbour of the host's would look the same.
fn is_outer_root(component: &Path, uid: u32) -> bool {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let outside = outside_user(&read("/proc/sys/kernel/overflowuid"), &read("/proc/self/uid_map"));
    let above = component.parent().unwrap_or(component);
    outside == Some(uid)
        && above
            .symlink_metadata()
            .is_ok_and(|above| above.mode() & OTHERS_WRITE == 0)
}

/// The number by which a user namespace shows everybody whom it does not know; None where it is a user of its own.
fn outside_user(overflow: &str, map: &str) -> Option<u32> {
    let number: u32 = overflow.trim().parse().ok()?;
    let is_known = map.lines().any(|line| {
        let mut fields = line
            .split_whitespace()
            .map(|field| field.parse::<u32>().unwrap_or(0));
        let (first, count) = (fields.next().unwrap_or(0), fields.nth(1).unwrap_or(0));
        number.checked_sub(first).is_some_and(|at| at < count)
    });
    (!is_known).then_some(number)
}

/// The runtime directory that a login gives a user, where it is that user's alone.
pub fn runtime_directory(uid: u32) -> Option<String> {
    let path = format!("/run/user/{uid}");
    let found = Path::new(OsStr::new(&path)).symlink_metadata().ok()?;
    (found.is_dir() && found.uid() == uid && found.mode() & 0o077 == 0).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::outside_user;

    #[test]
    fn knows_who_is_from_outside() {
        assert_eq!(
            outside_user("65534\n", "         0          0 4294967295\n"),
            None
        );
        assert_eq!(
            outside_user("65534\n", "         0       1000          1\n"),
            Some(65_534)
        );
        assert_eq!(
            outside_user("65534\n", "0 1000 1\n1 100000 65533\n"),
            Some(65_534)
        );
        assert_eq!(outside_user("65534\n", "0 1000 1\n1 100000 65534\n"), None);
        assert_eq!(outside_user("", ""), None);
    }
}
