//! A program's limits, as setrlimit(2) takes them.

use rustix::process::{Resource, Rlimit};

use crate::proto::Rlimit as Asked;

/// On the wire: none.
const UNLIMITED: u64 = u64::MAX;
/// What no process may have more descriptors than, not even root's.
const MOST_FILES: &str = "/proc/sys/fs/nr_open";

/// Checks what the kernel would refuse without a word of which limit it was.
pub fn limits(asked: &[Asked]) -> Result<Vec<(Resource, Rlimit)>, String> {
    let has_files = asked
        .iter()
        .any(|limit| resource(&limit.name) == Some(Resource::Nofile));
    let most_files = has_files.then(most_files).flatten();
    asked.iter().map(|limit| one(limit, most_files)).collect()
}

fn one(asked: &Asked, most_files: Option<u64>) -> Result<(Resource, Rlimit), String> {
    let name = asked.name.escape_debug();
    let resource = resource(&asked.name).ok_or_else(|| format!("there is no limit called \"{name}\""))?;
    // The largest number that is a number on the wire stands for none, and is above every other.
    if asked.soft > asked.hard {
        let (soft, hard) = (shown(asked.soft), shown(asked.hard));
        return Err(format!("the limit {name}: {soft} is above its hard limit {hard}"));
    }
    let value = |number: u64| match most_files {
        Some(most) if resource == Resource::Nofile && number == UNLIMITED => Some(most),
        _ => (number != UNLIMITED).then_some(number),
    };
    let limit = Rlimit {
        current: value(asked.soft),
        maximum: value(asked.hard),
    };
    match (most_files, limit.maximum) {
        (Some(most), Some(hard)) if resource == Resource::Nofile && hard > most => Err(format!(
            "the limit {name}: {hard} is above fs.nr_open, which is {most} in the guest"
        )),
        _ => Ok((resource, limit)),
    }
}

fn shown(value: u64) -> String {
    if value == UNLIMITED {
        "unlimited".to_owned()
    } else {
        value.to_string()
    }
}

fn most_files() -> Option<u64> {
    std::fs::read_to_string(MOST_FILES).ok()?.trim().parse().ok()
}

fn resource(name: &str) -> Option<Resource> {
    let lower = name.to_ascii_lowercase();
    Some(match lower.strip_prefix("rlimit_").unwrap_or(&lower) {
        "as" => Resource::As,
        "core" => Resource::Core,
        "cpu" => Resource::Cpu,
        "data" => Resource::Data,
        "fsize" => Resource::Fsize,
        "locks" => Resource::Locks,
        "memlock" => Resource::Memlock,
        "msgqueue" => Resource::Msgqueue,
        "nice" => Resource::Nice,
        "nofile" => Resource::Nofile,
        "nproc" => Resource::Nproc,
        "rss" => Resource::Rss,
        "rtprio" => Resource::Rtprio,
        "rttime" => Resource::Rttime,
        "sigpending" => Resource::Sigpending,
        "stack" => Resource::Stack,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: &str, soft: u64, hard: u64) -> Asked {
        Asked {
            name: name.to_owned(),
            soft,
            hard,
        }
    }

    fn refusal(limit: &Asked) -> String {
        one(limit, Some(1000)).unwrap_err()
    }

    #[test]
    fn knows_limits_in_both_spellings() {
        let all = limits(&[asked("RLIMIT_NOFILE", 10, 20), asked("core", 0, UNLIMITED)]).unwrap();
        let [(files, ten), (core, none)] = all.as_slice() else {
            panic!("two limits");
        };
        assert_eq!((files, core), (&Resource::Nofile, &Resource::Core));
        assert_eq!((ten.current, ten.maximum), (Some(10), Some(20)));
        assert_eq!((none.current, none.maximum), (Some(0), None));
    }

    #[test]
    fn gives_as_many_files_as_the_kernel_does() {
        let (_, all) = one(&asked("nofile", 5, UNLIMITED), Some(1000)).unwrap();
        assert_eq!((all.current, all.maximum), (Some(5), Some(1000)));
        let (_, other) = one(&asked("memlock", UNLIMITED, UNLIMITED), Some(1000)).unwrap();
        assert_eq!((other.current, other.maximum), (None, None));
    }

    #[test]
    fn names_the_limit_that_cannot_be() {
        assert!(refusal(&asked("bogus", 1, 1)).contains("\"bogus\""));
        let above = refusal(&asked("core", UNLIMITED, 7));
        assert_eq!(above, "the limit core: unlimited is above its hard limit 7");
        assert!(refusal(&asked("nofile", 1, 1001)).contains("fs.nr_open, which is 1000"));
    }
}
