//! The command line that kilnd starts the server with.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use crate::map::Map;

#[derive(Debug, PartialEq, Eq)]
pub enum Way {
    /// An O_PATH descriptor of the VMM's listening socket: connects, again after each hang-up.
    Connect(i32),
    /// A listening socket: the newest connection wins.
    Listen(i32),
}

#[derive(Debug, PartialEq, Eq)]
pub struct Arguments {
    /// An O_PATH descriptor of the directory.
    pub root: i32,
    pub ledger: i32,
    pub way: Way,
    pub read_only: bool,
    /// The one file of the directory that there is for the guest.
    pub only: Option<Vec<u8>>,
    pub map: Map,
    /// Tells the guest what the host changes.
    pub notify: bool,
    /// Whom a server that root has started becomes: uid and gid.
    pub user: Option<(u32, u32)>,
    /// What is root's is shown as that user's, who serves it.
    pub own_root: bool,
    /// It begins once kilnd has noted it, and says so on the standard input.
    pub await_start: bool,
}

/// Err: what is wrong with them, one line.
pub fn parse(words: impl Iterator<Item = OsString>) -> Result<Arguments, String> {
    let mut words = words.map(OsStringExt::into_vec);
    let (mut root, mut ledger, mut way, mut read_only, mut only) = (None, None, None, false, None);
    let (mut map, mut notify, mut user) = (Map::default(), false, None);
    let (mut own_root, mut await_start) = (false, false);
    while let Some(word) = words.next() {
        let option = String::from_utf8_lossy(&word).into_owned();
        let mut value = || words.next().ok_or(format!("{option} needs a value"));
        match option.as_str() {
            "--root-fd" => root = Some(descriptor(&option, &value()?)?),
            "--ledger-fd" => ledger = Some(descriptor(&option, &value()?)?),
            "--connect-fd" | "--listen-fd" if way.is_some() => {
                return Err("--connect-fd and --listen-fd exclude each other".into());
            }
            "--connect-fd" => way = Some(Way::Connect(descriptor(&option, &value()?)?)),
            "--listen-fd" => way = Some(Way::Listen(descriptor(&option, &value()?)?)),
            "--read-only" => read_only = true,
            "--notify" => notify = true,
            "--own-root" => own_root = true,
            "--await-start" => await_start = true,
            "--as" => user = Some(ids(&value()?)?),
            "--name" => only = Some(value()?),
            "--map" => map = Map::parse(&String::from_utf8_lossy(&value()?))?,
            _ => return Err(format!("{option} is no option of kiln-share")),
        }
    }
    if let Some(name) = &only {
        crate::names::check(name).map_err(|_| "--name is no name of a file".to_owned())?;
    }
    if own_root && (user.is_none() || !matches!(map, Map::Squash { .. })) {
        return Err("--own-root is for --as and squash".into());
    }
    Ok(Arguments {
        root: root.ok_or("--root-fd is missing")?,
        ledger: ledger.ok_or("--ledger-fd is missing")?,
        way: way.ok_or("--connect-fd or --listen-fd is missing")?,
        read_only,
        only,
        map,
        notify,
        user,
        own_root,
        await_start,
    })
}

/// Whose root's files are to be shown as.
pub struct Question {
    pub root: i32,
    pub user: (u32, u32),
}

/// `--can-own-root FD UID:GID`: asks whether that could be, and serves nothing. None: it is another line.
pub fn parse_question(words: &[OsString]) -> Option<Result<Question, String>> {
    let [word, fd, user] = words else {
        return None;
    };
    let bytes = |word: &OsString| word.clone().into_vec();
    let option = "--can-own-root";
    (word == option).then(|| {
        Ok(Question {
            root: descriptor(option, &bytes(fd))?,
            user: ids(&bytes(user))?,
        })
    })
}

/// `UID:GID`, neither of which is root's.
fn ids(value: &[u8]) -> Result<(u32, u32), String> {
    let text = String::from_utf8_lossy(value);
    let number = |word: &str| word.parse().ok().filter(|&id| id != 0 && id != u32::MAX);
    text.split_once(':')
        .and_then(|(uid, gid)| Some((number(uid)?, number(gid)?)))
        .ok_or(format!("--as {text}: it is UID:GID, and neither is root's"))
}

/// 0 to 2 are the standard streams.
fn descriptor(option: &str, value: &[u8]) -> Result<i32, String> {
    let number = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    number
        .filter(|&fd: &i32| fd > 2)
        .ok_or(format!("{option} needs the number of a descriptor above 2"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Arguments, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn takes_the_whole_line() {
        let line = "--root-fd 3 --ledger-fd 4 --connect-fd 5 --read-only --name a.conf --map squash:1000:100 --notify --as 7:8 --own-root --await-start";
        let wanted = Arguments {
            root: 3,
            ledger: 4,
            way: Way::Connect(5),
            read_only: true,
            only: Some(b"a.conf".to_vec()),
            map: Map::Squash { uid: 1000, gid: 100 },
            notify: true,
            user: Some((7, 8)),
            own_root: true,
            await_start: true,
        };
        assert_eq!(parsed(line), Ok(wanted));
    }

    #[test]
    fn squashes_to_root_by_default() {
        let arguments = parsed("--root-fd 3 --ledger-fd 4 --listen-fd 5").expect("it is whole");
        assert_eq!(arguments.map, Map::Squash { uid: 0, gid: 0 });
    }

    #[test]
    fn refuses_what_it_cannot_start_with() {
        for line in [
            "",
            "--root-fd 3 --ledger-fd 4",
            "--root-fd 2 --ledger-fd 4 --listen-fd 5",
            "--root-fd x --ledger-fd 4 --listen-fd 5",
            "--root-fd 3 --ledger-fd 4 --listen-fd 5 --connect-fd 6",
            "--root-fd 3 --ledger-fd 4 --listen-fd 5 --map squash",
            "--root-fd 3 --ledger-fd 4 --listen-fd 5 --name ../x",
            "--root-fd 3 --ledger-fd 4 --listen-fd 5 --as 0:0",
            "--root-fd 3 --ledger-fd 4 --listen-fd 5 --as 7",
            "--root-fd 3 --ledger-fd 4 --listen-fd 5 --own-root",
            "--root-fd 3 --ledger-fd 4 --listen-fd 5 --own-root --as 7:8 --map range:0:9:9",
            "--root-fd 3 --ledger-fd 4 --listen-fd 5 --verbose",
            "--root-fd",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}
