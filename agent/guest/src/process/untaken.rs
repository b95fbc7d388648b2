//! Whether a program has taken a signal. What lies there unblocked waits for nothing but to be run: the guest's processors
//! have no time for it, or it is stopped. One that handles, ignores or blocks a signal has had its say.

use std::fs;

/// True while the signal waits for the process to run.
pub fn is_untaken(pid: i32, number: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|status| waits(&status, number))
}

/// As proc_pid_status(5) has it. Pure.
fn waits(status: &str, number: i32) -> bool {
    let field = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name));
        value.unwrap_or_default().trim()
    };
    let holds = |name: &str| {
        let set = u64::from_str_radix(field(name), 16).unwrap_or(0);
        (1..=64).contains(&number) && set >> (number - 1) & 1 == 1
    };
    // One in the middle of a write waits for a disk, and the dead keep what they never took.
    field("State:").starts_with(['R', 'T']) && (holds("ShdPnd:") || holds("SigPnd:")) && !holds("SigBlk:")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: &str, own: u64, shared: u64, blocked: u64) -> String {
        format!(
            "Name:\tsh\nState:\t{state}\nSigQ:\t1/7\nSigPnd:\t{own:016x}\nShdPnd:\t{shared:016x}\nSigBlk:\t{blocked:016x}\n"
        )
    }

    #[test]
    fn tells_what_waits_for_the_process_from_what_the_process_lets_wait() {
        const TERM: u64 = 1 << 14;
        const KILL: u64 = 1 << 8;
        assert!(waits(&status("R (running)", 0, TERM, 0), 15));
        assert!(waits(&status("T (stopped)", 0, TERM, 0), 15));
        assert!(waits(&status("R (running)", KILL, 0, 0), 9));
        assert!(!waits(&status("D (disk sleep)", 0, TERM, 0), 15), "a disk");
        assert!(!waits(&status("R (running)", 0, TERM, 0), 9), "another one");
        assert!(!waits(&status("S (sleeping)", 0, 0, 0), 15), "taken or ignored");
        assert!(!waits(&status("S (sleeping)", 0, TERM, TERM), 15), "blocked");
        assert!(!waits(&status("Z (zombie)", 0, TERM, 0), 15), "dead");
        assert!(!waits("", 15));
        assert!(!waits(&status("R (running)", 0, TERM, 0), 99));
    }
}
