//! System mode: PID 1 becomes the image's own init, and the agent lives on beside it.
//!
//! How the end is learnt: systemd, when all is stopped, runs /run/initramfs/shutdown with the verb (its documented
//! hand-back to an initrd). That is this very binary, which tells the agent and leaves the end to it. Other inits
//! know no such thing: they send SIGTERM to everybody, and that is taken for the end.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixListener;
use std::rc::Rc;
use std::time::Duration;

use rustix::system::{RebootCommand, reboot};
use tokio::io::AsyncReadExt;
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

use super::exitrd;
use super::signals::RTMIN;
use crate::agent::{Agent, Role};
use crate::aside;
use crate::console;
use crate::grpc::status::{Result, Status};
use crate::machine::end;
use crate::process::io::FdStream;
use crate::process::plan::{Plan, StartFailure};
use crate::process::{self};
use crate::proto::{ExitStatus, GuestRequest};
use crate::workload::program::Program;

/// With no host to acknowledge, a machine that has shut down ends after this.
const UNHEARD: Duration = Duration::from_secs(5);
/// An init that ends everybody gives others this long to write their last.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Forks: the parent becomes the image's init, the child goes on as the agent. Returns in the child.
pub async fn hand_over(agent: &Rc<Agent>, plan: &Plan) -> Result<std::result::Result<(), StartFailure>> {
    let failed = |what: &'static str| move |error: io::Error| Status::from_io(what, error);
    exitrd::install(agent.end_action.get()).map_err(failed("install the shutdown hook"))?;
    let listener = exitrd::bind().map_err(failed("listen for the end"))?;
    let (report, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(|error| Status::from_io("make a pipe", error))?;
    let report = FdStream::new(report).map_err(failed("watch the hand-over"))?;
    if aside::leaves_no_threads() {
        be_alone().await?;
    }

    // SAFETY: the agent has one thread here (a boot that is held leaves none, any other comes before all calls that
    // have some), so that the child is a whole copy. The parent only execs or waits.
    match unsafe { libc::fork() } {
        -1 => {
            return Err(Status::from_io(
                "fork beside the init",
                io::Error::last_os_error(),
            ));
        }
        0 => {}
        _ => become_init(plan, &writer),
    }
    drop(writer);
    agent.set_role(Role::BesideInit);
    aside::leave_no_threads(false);
    escape_the_killing();

    let mut errno = [0; 4];
    if report
        .read(&mut errno)
        .await
        .map_err(failed("watch the hand-over"))?
        == errno.len()
    {
        let error = io::Error::from_raw_os_error(i32::from_ne_bytes(errno));
        let name = plan
            .args
            .first()
            .map(|arg| arg.to_string_lossy())
            .unwrap_or_default();
        let failure = match error.kind() {
            io::ErrorKind::NotFound => StartFailure::not_found(format!("start {name}: not found")),
            _ => StartFailure::cannot(format!("start {name}: {error}")),
        };
        return Ok(Err(failure));
    }
    agent.program.replace(Some(Program::init()));
    listen_for_end(agent, listener).map_err(failed("listen for the end"))?;
    Ok(Ok(()))
}

/// Waits for the last threads of files that were written before the init: each ends with its call, or right after.
async fn be_alone() -> Result<()> {
    const LOOKS: u32 = 200;
    for _ in 0..LOOKS {
        let threads = fs::read_dir("/proc/self/task")
            .map_err(|error| Status::from_io("count the agent's threads", error))?
            .count();
        if threads <= 1 {
            return Ok(());
        }
        sleep(Duration::from_millis(10)).await;
    }
    Err(Status::precondition("files are still being written"))
}

fn become_init(plan: &Plan, report: &OwnedFd) -> ! {
    // The agent's own protection is not for what an init starts.
    let _ = fs::write("/proc/self/oom_score_adj", "0");
    let error = match enter(plan) {
        Ok(()) => exec(plan),
        Err(error) => error,
    };
    let errno = error.raw_os_error().unwrap_or(libc::EIO);
    // The agent tells the host; this process must live, for its end would be the kernel's.
    let _ = rustix::io::write(report, &errno.to_ne_bytes());
    loop {
        if rustix::process::wait(rustix::process::WaitOptions::empty()).is_err() {
            std::thread::sleep(Duration::from_secs(1));
        }
    }
}

/// Where and as whom the init begins: root in "/", but what an image made for containers says of its own.
fn enter(plan: &Plan) -> io::Result<()> {
    let identity = &plan.identity;
    std::env::set_current_dir(std::ffi::OsStr::from_bytes(plan.workdir.as_bytes()))?;
    if identity.uid == 0 && identity.gid == 0 && identity.groups.is_empty() {
        return Ok(());
    }
    // SAFETY: plain system calls on a live list.
    let refused = unsafe {
        libc::setgroups(identity.groups.len(), identity.groups.as_ptr()) != 0
            || libc::setgid(identity.gid) != 0
            || libc::setuid(identity.uid) != 0
    };
    if refused {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Returns with the error that says most.
fn exec(plan: &Plan) -> io::Error {
    let pointers = |texts: &[CString]| {
        texts
            .iter()
            .map(|text| text.as_ptr())
            .chain([std::ptr::null()])
            .collect::<Vec<_>>()
    };
    let (args, env) = (pointers(&plan.args), pointers(&plan.env));
    let mut error = io::Error::from_raw_os_error(libc::ENOENT);
    // The kernel gives an init the console; the agent's stdio is that already.
    for candidate in &plan.candidates {
        // SAFETY: plain system calls on live, null-terminated lists. SIGPIPE is as a fresh process has it; what the
        // agent handles is reset by exec.
        unsafe {
            libc::signal(libc::SIGPIPE, libc::SIG_DFL);
            libc::umask(0o022);
            libc::execve(candidate.as_ptr(), args.as_ptr(), env.as_ptr());
        }
        error = io::Error::last_os_error();
        if !matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) {
            break;
        }
    }
    error
}

/// systemd ends every process whose command line does not begin with '@' (its documented rule for storage daemons of
/// an initrd). The kernel's own killer is kept off too, as it was in PID 1.
fn escape_the_killing() {
    let marked = fs::read_to_string("/proc/self/stat")
        .map(|stat| arg_start(&stat))
        .and_then(|start| {
            let memory = fs::File::options().write(true).open("/proc/self/mem")?;
            memory.write_all_at(b"@", start.ok_or(io::ErrorKind::InvalidData)?)
        });
    if let Err(error) = marked {
        console::error(format_args!("the init may end the agent early: {error}"));
    }
    let _ = rustix::thread::set_name(c"kiln-agent");
    let _ = fs::write("/proc/self/oom_score_adj", "-1000");
}

/// Field 48 of /proc/self/stat.
fn arg_start(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(45)?.parse().ok()
}

fn listen_for_end(agent: &Rc<Agent>, listener: UnixListener) -> io::Result<()> {
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
    rustix::fs::sync();
    agent.log.close();
    agent.publish_exit(ExitStatus {
        request: request as i32,
        ..Default::default()
    });
    let agent = agent.clone();
    spawn_local(async move {
        // AckExit ends the machine from its own handler.
        loop {
            sleep(UNHEARD).await;
            if !agent.has_session() {
                end::settle_disks();
                end::end_machine(&agent);
            }
        }
    });
}

/// SIGTERM to everybody, from an init that is about to end the machine.
pub fn on_terminated(agent: &Rc<Agent>) {
    if is_systemd() || agent.exit().is_some() {
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

/// Asks the init for a clean end; kills after `patience_ms`.
///
/// `signal`: what the image or the user wants sent for it; 0: the init's own word.
pub fn stop(agent: &Rc<Agent>, signal: i32, patience_ms: u32) -> Result<()> {
    if agent.exit().is_some() {
        return Err(Status::precondition("the init has ended"));
    }
    ask_for_end(signal).map_err(|error| Status::from_io("ask the init for its end", error))?;
    let agent = agent.clone();
    spawn_local(async move {
        let patience = Duration::from_millis(u64::from(patience_ms));
        if timeout(patience, agent.exited()).await.is_err() {
            rustix::fs::sync();
            agent.log.close();
            let code = 128 + libc::SIGKILL;
            agent.publish_exit(ExitStatus {
                code,
                signal: libc::SIGKILL,
                ..Default::default()
            });
        }
    });
    Ok(())
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
    fn finds_where_the_command_line_lies() {
        let numbers: Vec<String> = (3..=52).map(|field| field.to_string()).collect();
        assert_eq!(
            arg_start(&format!("7 (a) b (c)) {}", numbers.join(" "))),
            Some(48)
        );
        assert_eq!(arg_start("7 (a) S 1 2"), None);
        let own = fs::read_to_string("/proc/self/stat").unwrap();
        assert!(arg_start(&own).is_some_and(|start| start > 4096));
    }

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
