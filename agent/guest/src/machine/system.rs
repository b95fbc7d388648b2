//! System mode: how the image's own init is asked for the end, and how its end is learnt.
//!
//! systemd, when all is stopped, runs /run/initramfs/shutdown with the verb (its documented hand-back to an initrd).
//! That is this very binary, which tells the agent and leaves the end to it. Other inits know no such thing: they send
//! SIGTERM to everybody, and that is taken for the end.

use std::fs;
use std::io;
use std::os::unix::net::UnixListener;
use std::rc::Rc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::system::{RebootCommand, reboot};
use tokio::io::AsyncReadExt;
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

use super::ready::is_named;
use super::{end, exitrd};
use crate::agent::Agent;
use crate::grpc::status::{Result, Status};
use crate::process::{self, RTMIN};
use crate::proto::{ExitStatus, GuestRequest};
use crate::role::Role;

/// With no host to acknowledge, a machine that has shut down ends after this.
const UNHEARD: Duration = Duration::from_secs(5);
/// Between two looks at the shares of a guest that ends.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// An init that ends everybody gives others this long to write their last.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Hears of the end on the shutdown hook's socket, for ever.
pub fn listen_for_end(agent: &Rc<Agent>, listener: UnixListener) -> io::Result<()> {
    let listener = tokio::net::UnixListener::from_std(listener)?;
    let agent = agent.clone();
    spawn_local(async move {
        loop {
            let Ok((mut stream, _)) = listener.accept().await else {
                return;
            };
            // Any process may connect; PID 1 alone knows.
            if stream.peer_cred().is_ok_and(|peer| peer.pid() == Some(1)) {
                let mut verb = [0; 32];
                let count = timeout(UNHEARD, stream.read(&mut verb)).await;
                let count = count.ok().and_then(std::result::Result::ok).unwrap_or(0);
                let request = exitrd::request_of(&String::from_utf8_lossy(&verb[..count]));
                on_shut_down(&agent, request);
                // Held open: the hook waits for our end.
                std::mem::forget(stream);
            }
        }
    });
    Ok(())
}

/// Everything is stopped: tell the host, and end the machine once it has acknowledged or is not there.
fn on_shut_down(agent: &Rc<Agent>, request: GuestRequest) {
    let agent = agent.clone();
    spawn_local(async move {
        end::sync_disks(&agent).await;
        agent.log.close();
        agent.exit.publish(ExitStatus {
            request: request as i32,
            ..Default::default()
        });
        // AckExit ends the machine from its own handler.
        loop {
            sleep(UNHEARD).await;
            if !agent.has_session() {
                end::settle_disks(&agent).await;
                end::end_machine(&agent);
            }
        }
    });
}

/// SIGTERM to everybody, from an init that is about to end the machine.
pub fn on_terminated(agent: &Rc<Agent>) {
    if is_systemd() || agent.exit.get().is_some() {
        return;
    }
    let agent = agent.clone();
    spawn_local(async move {
        sleep(LAST_WORDS).await;
        let request = ["/run/utmp", "/var/run/utmp"]
            .iter()
            .find_map(|path| runlevel(&fs::read(path).ok()?));
        on_shut_down(&agent, request.unwrap_or(GuestRequest::Unspecified));
    });
}

/// The run level of utmp(5): 0 is for the end, 6 for another start.
fn runlevel(utmp: &[u8]) -> Option<GuestRequest> {
    const RECORD: usize = 384;
    const RUN_LVL: i16 = 1;
    let level = utmp
        .chunks_exact(RECORD)
        .filter(|record| i16::from_ne_bytes([record[0], record[1]]) == RUN_LVL)
        .map(|record| record[4])
        .next_back()?;
    match level {
        b'0' => Some(GuestRequest::Poweroff),
        b'6' => Some(GuestRequest::Reboot),
        _ => None,
    }
}

fn is_systemd() -> bool {
    fs::metadata("/run/systemd/system").is_ok()
}

/// Children of the agent have ended. systemd-shutdown waits for all processes, 90 s at most, and looks again only at a
/// SIGCHLD, which nobody sends it for a child of ours: the end would wait for one that has ended.
pub fn on_reaped(agent: &Agent) {
    if agent.role() == Role::BesideInit && is_named("systemd-shutdown") {
        let _ = kill_process(Pid::INIT, Signal::CHILD);
    }
}

/// Asks the init for a clean end; kills after `patience_ms`.
///
/// `signal`: what the image or the user wants sent for it; 0: the init's own word.
pub fn stop(agent: &Rc<Agent>, signal: i32, patience_ms: u32) -> Result<()> {
    if agent.exit.get().is_some() {
        return Err(Status::precondition("the init has ended"));
    }
    ask_for_end(signal).map_err(|error| Status::from_io("ask the init for its end", error))?;
    let agent = agent.clone();
    spawn_local(async move {
        let patience = Duration::from_millis(u64::from(patience_ms));
        if timeout(patience, end_of_init(&agent)).await.is_err() {
            end::sync_disks(&agent).await;
            agent.log.close();
            let code = 128 + libc::SIGKILL;
            agent.exit.publish(ExitStatus {
                code,
                signal: libc::SIGKILL,
                ..Default::default()
            });
        }
    });
    Ok(())
}

/// Waits for it. An init that ends syncs and unmounts: no share's server that is away holds it up, nor one that goes meanwhile.
async fn end_of_init(agent: &Agent) {
    loop {
        agent.mounts.end_shares_away();
        if timeout(LOOK_AGAIN, agent.exit.wait()).await.is_ok() {
            return;
        }
    }
}

/// What an init takes as the wish for its end.
#[derive(Debug, PartialEq)]
enum Word {
    Signal(i32),
    Program(&'static str),
}

const POWEROFFS: [&str; 3] = ["/sbin/poweroff", "/usr/sbin/poweroff", "/bin/poweroff"];

fn word_for_end(signal: i32, systemd: bool, busybox: bool, is_there: impl Fn(&str) -> bool) -> Word {
    const HALT: i32 = RTMIN + 3;
    const POWEROFF: i32 = RTMIN + 4;
    match signal {
        // Images for containers say HALT, which there is the end; a machine that was only halted would stay.
        0 | HALT if systemd => Word::Signal(POWEROFF),
        0 if busybox => Word::Signal(libc::SIGUSR2),
        // sysvinit, OpenRC, runit: each has its own way, and each image brings the word for it. One that does not is
        // asked as a container's init is.
        0 => POWEROFFS
            .into_iter()
            .find(|path| is_there(path))
            .map_or(Word::Signal(libc::SIGTERM), Word::Program),
        asked => Word::Signal(asked),
    }
}

fn ask_for_end(signal: i32) -> io::Result<()> {
    let init = fs::read_link("/proc/1/exe").unwrap_or_default();
    let busybox = init.file_name().is_some_and(|name| name == "busybox");
    let is_there = |path: &str| fs::metadata(path).is_ok();
    match word_for_end(signal, is_systemd(), busybox, is_there) {
        Word::Signal(signal) => process::send_signal(1, signal),
        // The reaper takes it.
        Word::Program(program) => std::process::Command::new(program).spawn().map(drop),
    }
}

/// Ctrl-Alt-Del becomes a signal to PID 1 instead of an immediate reset.
pub fn claim_ctrl_alt_del() {
    let _ = reboot(RebootCommand::CadOff);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_each_init_in_its_own_words() {
        let (none, all) = (|_: &str| false, |_: &str| true);
        let term = Word::Signal(libc::SIGTERM);
        assert_eq!(word_for_end(0, true, false, none), Word::Signal(38));
        assert_eq!(word_for_end(37, true, false, none), Word::Signal(38));
        assert_eq!(word_for_end(libc::SIGTERM, true, false, all), term);
        assert_eq!(word_for_end(libc::SIGTERM, false, true, all), term);
        assert_eq!(word_for_end(0, false, true, all), Word::Signal(libc::SIGUSR2));
        assert_eq!(
            word_for_end(0, false, false, all),
            Word::Program("/sbin/poweroff")
        );
        assert_eq!(word_for_end(0, false, false, none), term, "never none at all");
    }

    #[test]
    fn reads_the_last_run_level() {
        let record = |kind: i16, level: u8| {
            let mut bytes = vec![0; 384];
            bytes[..2].copy_from_slice(&kind.to_ne_bytes());
            bytes[4] = level;
            bytes
        };
        let utmp = [record(2, 0), record(1, b'2'), record(7, 9), record(1, b'6')].concat();
        assert_eq!(runlevel(&utmp), Some(GuestRequest::Reboot));
        assert_eq!(runlevel(&record(1, b'0')), Some(GuestRequest::Poweroff));
        assert_eq!(runlevel(&record(1, b'3')), None);
        assert_eq!(runlevel(&utmp[..100]), None);
    }
}
