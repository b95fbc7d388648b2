//! cgroup v2 of app mode: the program, execs, and each extra program in a group of its own, so that an out-of-memory kill
//! of one can be told from any other kill, and one can be killed whole.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};

const ROOT: &str = "/sys/fs/cgroup";

/// Before the id in the name of an extra program's group.
const EXTRA: &str = "w-";

#[derive(Clone, Debug)]
pub enum Cgroup {
    Main,
    Exec,
    /// Of the extra program with this id.
    Extra(String),
}

impl Cgroup {
    fn path(&self) -> String {
        let name: Cow<'_, str> = match self {
            Self::Main => "main".into(),
            Self::Exec => "exec".into(),
            Self::Extra(id) => format!("{EXTRA}{id}").into(),
        };
        format!("{ROOT}/{name}")
    }

    /// Its directory, for a process that is born in the group; None on a kernel without cgroups.
    pub fn open(&self) -> Option<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(self.path(), flags, Mode::empty()).ok()
    }

    /// The group of an extra program, made. None where the kernel has none: then its process group is all there is.
    pub fn of_extra(id: &str) -> Option<Self> {
        let group = Self::Extra(id.to_owned());
        fs::create_dir(group.path()).ok().map(|()| group)
    }

    /// How many of its processes the kernel has killed for want of memory.
    pub fn oom_kills(&self) -> u64 {
        let events = fs::read_to_string(format!("{}/memory.events", self.path()));
        parse_oom_kills(&events.unwrap_or_default())
    }

    /// Kills all that is in it. Fails on a kernel before 5.14.
    pub fn kill(&self) -> io::Result<()> {
        fs::write(format!("{}/cgroup.kill", self.path()), "1")
    }

    /// Takes the group away, unless something is left in it.
    pub fn remove(&self) {
        let _ = fs::remove_dir(self.path());
    }
}

/// Takes away the groups of extra programs that are gone, and whose last processes have followed them by now.
pub fn sweep(is_known: impl Fn(&str) -> bool) {
    let Ok(entries) = fs::read_dir(ROOT) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if let Some(id) = name.to_str().and_then(|name| name.strip_prefix(EXTRA))
            && !is_known(id)
        {
            Cgroup::Extra(id.to_owned()).remove();
        }
    }
}

/// Makes the groups and hands every controller that the kernel has to them.
pub fn set_up() -> io::Result<()> {
    let controllers = fs::read_to_string(format!("{ROOT}/cgroup.controllers"))?;
    for controller in controllers.split_whitespace() {
        // One by one: a controller that refuses (rt processes and cpu) takes none of the others along.
        let _ = fs::write(format!("{ROOT}/cgroup.subtree_control"), format!("+{controller}"));
    }
    for group in [Cgroup::Main, Cgroup::Exec] {
        match fs::create_dir(group.path()) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn parse_oom_kills(events: &str) -> u64 {
    events
        .lines()
        .find_map(|line| line.strip_prefix("oom_kill "))
        .and_then(|count| count.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_kills_and_not_the_other_events() {
        assert_eq!(
            parse_oom_kills("low 0\nhigh 0\nmax 7\noom 3\noom_kill 2\noom_group_kill 9\n"),
            2
        );
        assert_eq!(parse_oom_kills(""), 0);
    }
}
