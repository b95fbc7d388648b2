//! cgroup v2 of app mode: the program and execs each in a group of their own, so that an out-of-memory kill of the
//! program can be told from any other kill.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};

const ROOT: &str = "/sys/fs/cgroup";

#[derive(Clone, Copy, Debug)]
pub enum Cgroup {
    Main,
    Exec,
}

impl Cgroup {
    const fn name(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Exec => "exec",
        }
    }

    /// Its directory, for a process that is born in the group; None on a kernel without cgroups.
    pub fn open(self) -> Option<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(format!("{ROOT}/{}", self.name()), flags, Mode::empty()).ok()
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
        match fs::create_dir(format!("{ROOT}/{}", group.name())) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// How many processes of the group the kernel has killed for want of memory.
pub fn oom_kills(group: Cgroup) -> u64 {
    let events = fs::read_to_string(format!("{ROOT}/{}/memory.events", group.name()));
    parse_oom_kills(&events.unwrap_or_default())
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
