//! systemd's way back at shutdown: /run/initramfs/shutdown, which is this very binary, and the socket on which it tells
//! the agent (bootup(7), "System Manager Shutdown").

use std::fs;
use std::io::{self, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::time::Duration;

use rustix::system::{RebootCommand, reboot};

use crate::console;
use crate::proto::{EndAction, GuestRequest};

const EXITRD: &str = "/run/initramfs";
const END_FILE: &str = "/run/initramfs/end";
/// Abstract: there is no file system left to hold it when it is needed. Only PID 1 is heard on it.
const SOCKET: &[u8] = b"dev.kiln.end";
/// How long a hand-over that failed may take to say so.
const EXITRD_PATIENCE: Duration = Duration::from_secs(120);

/// Puts this binary where systemd looks for its way back.
pub fn install(end_action: EndAction) -> io::Result<()> {
    for directory in ["", "/oldroot", "/proc", "/sys", "/dev", "/run"] {
        fs::create_dir_all(format!("{EXITRD}{directory}"))?;
    }
    let hook = format!("{EXITRD}/shutdown");
    fs::copy("/proc/self/exe", &hook)?;
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755))?;
    fs::write(
        END_FILE,
        if end_action == EndAction::Restart {
            "restart"
        } else {
            "poweroff"
        },
    )
}

/// Where the hook tells.
pub fn bind() -> io::Result<UnixListener> {
    let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(SOCKET)?)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// What a verb of systemd's asks for.
pub fn request_of(verb: &str) -> GuestRequest {
    match verb.trim() {
        "reboot" | "kexec" => GuestRequest::Reboot,
        _ => GuestRequest::Poweroff,
    }
}

/// /run/initramfs/shutdown VERB: PID 1 again, in what is left of /run.
pub fn run_hook(verb: &str) -> ! {
    let told = SocketAddr::from_abstract_name(SOCKET).and_then(|address| {
        let mut agent = UnixStream::connect_addr(&address)?;
        agent.write_all(verb.as_bytes())?;
        agent.set_read_timeout(Some(EXITRD_PATIENCE))?;
        // The agent ends the machine; its own end is the only other news.
        agent.read(&mut [0]).map(drop)
    });
    if let Err(error) = told {
        console::error(format_args!("the agent does not end the machine: {error}"));
    }
    rustix::fs::sync();
    // `end` as seen from here, where /run/initramfs is the root.
    let restart = fs::read_to_string("/end").is_ok_and(|text| text == "restart");
    let _ = reboot(if restart {
        RebootCommand::Restart
    } else {
        RebootCommand::PowerOff
    });
    panic!("the machine does not end");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn understands_systemds_verbs() {
        assert_eq!(request_of("reboot\n"), GuestRequest::Reboot);
        assert_eq!(request_of("kexec"), GuestRequest::Reboot);
        assert_eq!(request_of("poweroff"), GuestRequest::Poweroff);
        assert_eq!(request_of("halt"), GuestRequest::Poweroff);
    }
}
