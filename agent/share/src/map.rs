//! Whose files the guest sees: all as one user's (squash), or with ids of its own (range).

use rustix::fs::Stat;

/// Linux's overflow id: nobody that the guest knows.
pub const NOBODY: u32 = 65_534;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Map {
    /// The server's own files are shown as `uid`:`gid`, all others as nobody's.
    Squash { uid: u32, gid: u32 },
    /// The guest's ids from `guest` on are the host's from `host` on. The server sees the guest's: it runs in a user
    /// namespace with that map.
    Range { guest: u32, host: u32, count: u32 },
}

impl Default for Map {
    fn default() -> Self {
        Self::Squash { uid: 0, gid: 0 }
    }
}

impl Map {
    /// `squash:UID:GID` or `range:GUEST:HOST:COUNT`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("--map {text}: it is squash:UID:GID or range:GUEST:HOST:COUNT");
        let (kind, numbers) = text.split_once(':').ok_or_else(wrong)?;
        let numbers: Vec<u32> = numbers
            .split(':')
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map_err(|_| wrong())?;
        match (kind, numbers.as_slice()) {
            ("squash", &[uid, gid]) if uid != u32::MAX && gid != u32::MAX => Ok(Self::Squash { uid, gid }),
            ("range", &[guest, host, count]) => {
                let fits = |start: u32| start.checked_add(count).is_some_and(|end| end < u32::MAX);
                if count == 0 || !fits(guest) || !fits(host) {
                    return Err(wrong());
                }
                if host == 0 {
                    return Err(format!("--map {text}: the host's root is in that range"));
                }
                Ok(Self::Range { guest, host, count })
            }
            _ => Err(wrong()),
        }
    }
}

/// What the guest sees of a file's owners.
#[derive(Clone, Copy, Debug)]
pub struct Owners {
    map: Map,
    uid: u32,
    gid: u32,
}

impl Owners {
    /// @param uid, gid: the server's own
    pub fn new(map: Map, uid: u32, gid: u32) -> Self {
        Self { map, uid, gid }
    }

    pub fn shown(&self, stat: &Stat) -> (u32, u32) {
        match self.map {
            Map::Range { .. } => (stat.st_uid, stat.st_gid),
            Map::Squash { uid, gid } if stat.st_uid == self.uid => (uid, gid),
            Map::Squash { gid, .. } if stat.st_gid == self.gid => (NOBODY, gid),
            Map::Squash { .. } => (NOBODY, NOBODY),
        }
    }

    pub fn owns(&self, stat: &Stat) -> bool {
        stat.st_uid == self.uid
    }

    /// True where files have owners of the guest's choice.
    pub fn are_real(&self) -> bool {
        matches!(self.map, Map::Range { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned_by(uid: u32, gid: u32) -> Stat {
        let mut stat = rustix::fs::stat("/").expect("there is a root");
        (stat.st_uid, stat.st_gid) = (uid, gid);
        stat
    }

    #[test]
    fn parses_both_kinds() {
        assert_eq!(
            Map::parse("squash:1000:100"),
            Ok(Map::Squash { uid: 1000, gid: 100 })
        );
        let range = Map::Range {
            guest: 0,
            host: 100_000,
            count: 65_536,
        };
        assert_eq!(Map::parse("range:0:100000:65536"), Ok(range));
    }

    #[test]
    fn refuses_what_is_no_map() {
        for text in [
            "",
            "squash",
            "squash:1",
            "squash:-1:0",
            "squash:4294967295:0",
            "range:0:5:0",
            "none:0:0",
        ] {
            assert!(Map::parse(text).is_err(), "{text}");
        }
        assert!(Map::parse("range:0:4294967000:65536").is_err());
    }

    #[test]
    fn never_maps_to_the_hosts_root() {
        assert!(Map::parse("range:0:0:65536").is_err());
    }

    #[test]
    fn squashes_own_files_to_one_user_and_others_to_nobody() {
        let owners = Owners::new(Map::Squash { uid: 0, gid: 5 }, 1000, 100);
        assert_eq!(owners.shown(&owned_by(1000, 7)), (0, 5));
        assert_eq!(owners.shown(&owned_by(0, 100)), (NOBODY, 5));
        assert_eq!(owners.shown(&owned_by(0, 0)), (NOBODY, NOBODY));
    }

    #[test]
    fn shows_real_owners_in_a_range() {
        let owners = Owners::new(
            Map::Range {
                guest: 0,
                host: 100_000,
                count: 10,
            },
            0,
            0,
        );
        assert_eq!(owners.shown(&owned_by(3, 4)), (3, 4));
    }
}
