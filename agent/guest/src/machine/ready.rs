//! System mode: when the image's own init can be talked to, so that what comes next (`systemctl`, `poweroff`) finds it.
//!
//! systemd: its private socket takes connections; `systemctl is-system-running` says "offline" before. Others have no
//! such door that all of them would share, so one that has started something of its own is taken to be past its set-up:
//! its signal handlers stand, and `poweroff` reaches it.

use std::ffi::OsStr;
use std::fs;
use std::rc::Rc;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use tokio::time::{Instant, sleep};

use crate::agent::Agent;
use crate::aside::LOOKS;
use crate::console;

const SYSTEMD_SOCKET: &str = "/run/systemd/private";
const PAUSE: Duration = Duration::from_millis(25);
/// An init that is a single program starts nothing, and that is all it will ever say.
const PATIENCE_WITH_OTHERS: Duration = Duration::from_secs(5);

/// Returns when the init is ready, has ended, or `patience` is over.
pub async fn wait(agent: &Rc<Agent>, patience: Duration) {
    let start = Instant::now();
    while agent.exit.get().is_none() {
        let is_systemd = is_named("systemd");
        let ready = if is_systemd {
            takes_connections(SYSTEMD_SOCKET).await
        } else {
            has_child_beside(std::process::id())
        };
        let limit = if is_systemd {
            patience
        } else {
            patience.min(PATIENCE_WITH_OTHERS)
        };
        if ready {
            return;
        }
        if start.elapsed() >= limit {
            let waited = start.elapsed().as_secs();
            console::error(format_args!("the init cannot be talked to after {waited} s"));
            return;
        }
        sleep(PAUSE).await;
    }
}

/// Asks once and waits for nothing: behind the name may be a FUSE that hangs, or a listener whose queue is full.
async fn takes_connections(path: &'static str) -> bool {
    let ask = move || {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let asked = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
            .and_then(|socket| connect(&socket, &SocketAddrUnix::new(path)?));
        Ok(asked.is_ok())
    };
    LOOKS.briefly(ask).await.unwrap_or(false)
}

/// What runs as PID 1 right now: a script may become another program.
/// True where the program of PID 1 has this name.
pub fn is_named(name: &str) -> bool {
    fs::read_link("/proc/1/exe").is_ok_and(|exe| exe.file_name() == Some(OsStr::new(name)))
}

fn has_child_beside(agent: u32) -> bool {
    let Ok(entries) = fs::read_dir("/proc") else {
        return false;
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|&pid| pid != agent && pid != 1)
        .any(|pid| fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| parent(&stat) == Some(1)))
}

/// Field 4 of /proc/PID/stat; the name before it may hold anything.
fn parent(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_parent_whatever_the_name_is() {
        assert_eq!(parent("7 (sh) S 1 7 7 0"), Some(1));
        assert_eq!(parent("7 (a) S 9 (b)) R 42 7"), Some(42));
        assert_eq!(parent("7 (sh"), None);
    }
}
