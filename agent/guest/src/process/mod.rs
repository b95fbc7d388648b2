//! Processes of the guest: who they are, how they start, how they end.

pub mod afterglow;
pub mod io;
pub mod leash;
mod limits;
pub mod plan;
pub mod reaper;
pub mod spawn;
pub mod stdio;
pub mod untaken;
mod user;

/// The first real-time signal that programs may use (glibc's SIGRTMIN; systemd counts from it).
pub const RTMIN: i32 = 34;

/// Sends a signal by number (real-time ones too) to a process, or with a negative pid to a group.
pub fn send_signal(pid: i32, signal: i32) -> std::io::Result<()> {
    // SAFETY: a plain system call.
    match unsafe { libc::kill(pid, signal) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// SIGKILL to every process but ours, those that are spared and the kernel's own, which run no file. False where there is none.
pub fn kill_all_but(spared: &[i32]) -> bool {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let mut found = false;
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(pid) = pid.filter(|pid| *pid != own && !spared.contains(pid)) else {
            continue;
        };
        if std::fs::read_link(entry.path().join("exe")).is_ok() {
            found = true;
            let _ = send_signal(pid, libc::SIGKILL);
        }
    }
    found
}

/// Kills a whole process group; one that has ended is no error.
pub fn kill_group(leader: i32) {
    // 0, 1 and negatives would hit far more than one group.
    if leader > 1 {
        let _ = send_signal(-leader, libc::SIGKILL);
    }
}
