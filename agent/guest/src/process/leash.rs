//! What holds a process to whoever asked for it.

/// Kills the process and its group when dropped: what was started for a caller dies with the caller.
pub struct Leash {
    pid: i32,
    armed: bool,
}

impl Leash {
    pub const fn new(pid: i32) -> Self {
        Self { pid, armed: true }
    }

    pub const fn pid(&self) -> i32 {
        self.pid
    }

    /// The process has ended (its number may be another's by now), or shall live on.
    pub const fn let_go(&mut self) {
        self.armed = false;
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        if self.armed {
            super::kill_group(self.pid);
            // Right after the fork it leads no group yet.
            let _ = super::send_signal(self.pid, libc::SIGKILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn a_leash_holds_a_process_that_leads_no_group_yet() {
        let mut child = std::process::Command::new("sleep").arg("300").spawn().unwrap();
        drop(Leash::new(child.id() as i32));
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
    }
}
