//! System mode begins: PID 1 becomes the image's own init, and the agent lives on beside it.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::sleep;

use super::{exitrd, system};
use crate::agent::Agent;
use crate::aside;
use crate::console;
use crate::grpc::status::{Result, Status};
use crate::process::io::FdStream;
use crate::process::plan::{Plan, StartFailure};
use crate::role::Role;
use crate::workload::program::Program;

/// Forks: the parent becomes the image's init, the child goes on as the agent. Returns in the child.
pub async fn hand_over(
    agent: &Rc<Agent>,
    plan: &Plan,
) -> Result<std::result::Result<Rc<Program>, StartFailure>> {
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
    system::listen_for_end(agent, listener).map_err(failed("listen for the end"))?;
    Ok(Ok(Program::init(&agent.exit)))
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

/// Where and as whom the init begins: root in "/", but what an image made for containers says of its own. Its limits are
/// those of all that it starts, where it sets none itself.
fn enter(plan: &Plan) -> io::Result<()> {
    let identity = &plan.identity;
    for (resource, limit) in &plan.limits {
        rustix::process::setrlimit(*resource, *limit)?;
    }
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
}
