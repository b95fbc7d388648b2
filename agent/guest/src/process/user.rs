//! Who a process runs as: OCI's `user[:group]` resolved with the root's own passwd and group files.
//!
//! Pure but for reading the two files, which are the image's. As runc reads them, fields that are missing at the end of a
//! line are empty, and those beyond the last are nothing. Unlike there, a line whose number is none is not taken: its user
//! would be root.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;

use rustix::fs::{FileType, Mode, OFlags};

/// Larger than any real one; what is beyond is not read.
const MAX_FILE: u64 = 4 << 20;
/// The kernel's own limit (NGROUPS_MAX).
const MAX_GROUPS: usize = 65_536;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    pub home: String,
}

struct Passwd<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

/// Resolves with /etc/passwd and /etc/group.
pub fn resolve(spec: &str) -> Result<Identity, String> {
    resolve_in(spec, &read_file("/etc/passwd"), &read_file("/etc/group"))
}

/// An image without the file has no names: numbers still work. What is no file has none either: the end of a FIFO or of
/// a device may never come.
fn read_file(path: &str) -> String {
    let mut bytes = Vec::new();
    let read = open_regular(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes));
    match read {
        Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => String::new(),
    }
}

fn open_regular(path: &str) -> std::io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty())?;
    match FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) {
        FileType::RegularFile => Ok(file.into()),
        _ => Err(std::io::ErrorKind::InvalidInput.into()),
    }
}

fn resolve_in(spec: &str, passwd: &str, group: &str) -> Result<Identity, String> {
    let (user, wanted_group) = match spec.split_once(':') {
        Some((user, group)) => (user, group),
        None => (spec, ""),
    };
    let user = if user.is_empty() { "0" } else { user };
    let number = parse_id(user);
    // A name first, then a number: "1000" may be a name, and where it is, it is meant.
    let entry = passwd_entries(passwd)
        .find(|entry| entry.name == user)
        .or_else(|| passwd_entries(passwd).find(|entry| Some(entry.uid) == number));
    let (uid, mut gid, home) = match (&entry, number) {
        (Some(entry), _) => (entry.uid, entry.gid, entry.home),
        (None, Some(uid)) => (uid, 0, ""),
        (None, None) => return Err(format!("the image has no user \"{user}\" in /etc/passwd")),
    };
    let mut groups = Vec::new();
    if wanted_group.is_empty() {
        if let Some(entry) = &entry {
            groups = supplementary(group, entry.name, gid);
        }
    } else {
        let number = parse_id(wanted_group);
        gid = group_entries(group)
            .find(|entry| entry.name == wanted_group)
            .map(|entry| entry.gid)
            .or(number)
            .ok_or_else(|| format!("the image has no group \"{wanted_group}\" in /etc/group"))?;
    }
    let home = if home.is_empty() { "/" } else { home }.to_owned();
    Ok(Identity {
        uid,
        gid,
        groups,
        home,
    })
}

fn supplementary(group: &str, user: &str, primary: u32) -> Vec<u32> {
    let mut known = HashSet::from([primary]);
    group_entries(group)
        .filter(|entry| entry.members.split(',').any(|member| member == user))
        .map(|entry| entry.gid)
        .filter(|&gid| known.insert(gid))
        .take(MAX_GROUPS)
        .collect()
}

fn passwd_entries(text: &str) -> impl Iterator<Item = Passwd<'_>> {
    text.lines().filter_map(|line| {
        let [name, _, uid, gid, _, home] = fields(line)?;
        Some(Passwd {
            name,
            uid: parse_id(uid)?,
            gid: if gid.is_empty() { 0 } else { parse_id(gid)? },
            home,
        })
    })
}

fn group_entries(text: &str) -> impl Iterator<Item = Group<'_>> {
    text.lines().filter_map(|line| {
        let [name, _, gid, members] = fields(line)?;
        Some(Group {
            name,
            gid: parse_id(gid)?,
            members,
        })
    })
}

/// The first fields of a line, the missing ones empty; None where there is no name.
fn fields<const COUNT: usize>(line: &str) -> Option<[&str; COUNT]> {
    let mut found = [""; COUNT];
    // An editor of Windows' leaves a carriage return at the end.
    for (place, field) in found.iter_mut().zip(line.trim().split(':')) {
        *place = field;
    }
    (!found[0].is_empty()).then_some(found)
}

/// Decimal digits only, and not -1, which the kernel takes for "leave it".
fn parse_id(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&id| digits && id != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
        broken line\n\
        short:x:5:6\n\
        shorter:x:8\n\
        shortest:x\n\
        long:x:9:10::/l:/bin/sh:more:and more\n\
        windows:x:11:12::/w\r\n\
        bad:x:-1:0::/:/bin/sh\n\
        www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n\
        homeless:x:50:50:::\n\
        1234:x:77:78::/n:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nwww-data:x:33:\nadm:x:4:syslog,www-data\nssl:x:110:www-data\nbad:x:x:www-data\n\
        short:x:6\nshortest:x\nlong:x:120:short,www-data:more\n";

    fn ids(spec: &str) -> (u32, u32, Vec<u32>, String) {
        let identity = resolve_in(spec, PASSWD, GROUP).unwrap();
        (identity.uid, identity.gid, identity.groups, identity.home)
    }

    #[test]
    fn reads_no_names_from_what_is_no_file() {
        let path = std::env::temp_dir().join(format!("kiln-user-{}", std::process::id()));
        let text = path.to_str().unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, Mode::from(0o600), 0).unwrap();
        // Nobody will ever write into it.
        let of_fifo = read_file(text);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(of_fifo, "");
        assert_eq!(read_file("/dev/zero"), "");
        std::fs::write(&path, PASSWD).unwrap();
        let of_file = read_file(text);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(of_file, PASSWD);
    }

    #[test]
    fn takes_each_group_once_and_no_more_than_the_kernel_does() {
        let lines = (1..=70_000_u32).map(|gid| format!("g{gid}:x:{gid}:u\nagain{gid}:x:{gid}:u\n"));
        let groups = supplementary(&lines.collect::<String>(), "u", 1);
        assert_eq!(groups.len(), MAX_GROUPS);
        assert_eq!(groups[..2], [2, 3]);
    }

    #[test]
    fn takes_nothing_for_root() {
        assert_eq!(ids(""), (0, 0, vec![], "/root".to_owned()));
    }

    #[test]
    fn finds_names_with_their_groups() {
        let groups = vec![4, 110, 120];
        assert_eq!(ids("www-data"), (33, 33, groups.clone(), "/var/www".to_owned()));
        assert_eq!(ids("33"), (33, 33, groups, "/var/www".to_owned()));
    }

    #[test]
    fn fields_that_are_missing_are_empty_and_those_beyond_the_last_nothing() {
        assert_eq!(ids("short"), (5, 6, vec![120], "/".to_owned()));
        assert_eq!(ids("5"), ids("short"));
        assert_eq!(ids("shorter"), (8, 0, vec![], "/".to_owned()));
        assert_eq!(ids("long"), (9, 10, vec![], "/l".to_owned()));
        assert_eq!(ids("windows").3, "/w");
        assert_eq!(ids("root:short").1, 6);
        assert_eq!(ids("root:long").1, 120);
    }

    #[test]
    fn a_named_group_replaces_all_others() {
        assert_eq!(ids("www-data:adm"), (33, 4, vec![], "/var/www".to_owned()));
        assert_eq!(ids("www-data:999"), (33, 999, vec![], "/var/www".to_owned()));
    }

    #[test]
    fn takes_numbers_that_no_file_knows() {
        assert_eq!(ids("4000"), (4000, 0, vec![], "/".to_owned()));
        assert_eq!(ids("4000:5000"), (4000, 5000, vec![], "/".to_owned()));
    }

    #[test]
    fn prefers_a_name_that_looks_like_a_number() {
        assert_eq!(ids("1234"), (77, 78, vec![], "/n".to_owned()));
    }

    #[test]
    fn an_empty_home_is_the_root() {
        assert_eq!(ids("homeless").3, "/");
    }

    #[test]
    fn refuses_what_is_not_there() {
        for spec in [
            "nobody",
            "bad",
            "broken line",
            "shortest",
            "root:shortest",
            "-1",
            "4294967295",
            "root:nogroup",
            "root:-1",
            "0x10",
            " 0",
        ] {
            assert!(resolve_in(spec, PASSWD, GROUP).is_err(), "{spec}");
        }
    }
}
