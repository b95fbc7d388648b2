//! fork and exec. The child, between the two, only makes system calls: it may be the copy of a process with threads.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::ptr;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Resource, Rlimit};

use super::io::FdStream;
use super::leash::Leash;
use super::plan::{Plan, StartFailure};
use super::reaper::{Ended, Reaper};
use super::stdio::{Stdio, Wiring, wire};
use crate::aside::LOOKS;
use crate::machine::cgroup::Cgroup;

/// What the agent's own limit on descriptors must not become for programs (systemd's defaults).
const DEFAULT_NOFILE: Rlimit = Rlimit {
    current: Some(1024),
    maximum: Some(524_288),
};

/// linux/sched.h; libc's own constant does not hold it.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// A started process: leader of its own session and process group.
pub struct Child {
    pub leash: Leash,
    pub stdio: Stdio,
    pub ended: tokio::sync::oneshot::Receiver<Ended>,
}

/// Starts the process; returns once its program runs, or with why it does not.
pub async fn spawn(plan: &Plan, cgroup: Option<&Cgroup>, reaper: &Reaper) -> Result<Child, StartFailure> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error: io::Error| StartFailure::cannot(format!("{what}: {error}"))
    };
    let wiring = wire(plan).map_err(failed("make the program's stdio"))?;
    let (report_reader, report_writer) =
        pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed("make a pipe")(error.into()))?;
    let reader = FdStream::new(report_reader).map_err(failed("watch the start"))?;
    let cgroup = cgroup.and_then(Cgroup::open);
    let prepared = Prepared::new(plan, &wiring, report_writer.as_fd());

    // SAFETY: the child runs `Prepared::run` only, which makes system calls on memory prepared above and never returns.
    let pid = match unsafe { fork_into(cgroup.as_ref().map(AsFd::as_fd)) } {
        -1 => return Err(failed("start a process")(io::Error::last_os_error())),
        // SAFETY: this is the child.
        0 => unsafe { prepared.run() },
        pid => pid,
    };
    let ended = reaper.expect(pid);
    let mut leash = Leash::new(pid);
    drop(report_writer);
    drop(wiring.child);

    let mut report = [0; Report::LENGTH];
    let mut filled = 0;
    while filled < report.len() {
        match reader.read(&mut report[filled..]).await {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) => return Err(failed("watch the start")(error)),
        }
    }
    if filled < report.len() {
        // exec closed the pipe: the program runs.
        return Ok(Child {
            leash,
            stdio: wiring.ours,
            ended,
        });
    }
    // The process ends by itself; waiting keeps the order "failed, then gone".
    let _ = ended.await;
    leash.let_go();
    Err(Report::decode(report).into_failure(plan).await)
}

/// What the child tells when it cannot become its program.
struct Report {
    stage: u32,
    errno: i32,
}

impl Report {
    const LENGTH: usize = 8;

    fn decode(bytes: [u8; Self::LENGTH]) -> Self {
        let [a, b, c, d, e, f, g, h] = bytes;
        Self {
            stage: u32::from_ne_bytes([a, b, c, d]),
            errno: i32::from_ne_bytes([e, f, g, h]),
        }
    }

    async fn into_failure(self, plan: &Plan) -> StartFailure {
        let error = io::Error::from_raw_os_error(self.errno);
        let name = plan
            .args
            .first()
            .map(|arg| arg.to_string_lossy())
            .unwrap_or_default();
        match Stage::STEPS.get(self.stage as usize) {
            Some(step) => StartFailure::cannot(format!("start {name}: {step}: {error}")),
            None if matches!(self.errno, libc::ENOENT | libc::ENOTDIR) => {
                let looked = if name.contains('/') { "" } else { " in PATH" };
                let shebang = "its interpreter is missing, or it is not there";
                match any_exists(plan.candidates.clone()).await {
                    true => StartFailure::not_found(format!("start {name}: {shebang}: {error}")),
                    false => StartFailure::not_found(format!("start {name}: not found{looked}")),
                }
            }
            None => StartFailure::cannot(format!("start {name}: {error}")),
        }
    }
}

async fn any_exists(paths: Vec<CString>) -> bool {
    let look = move || Ok(paths.iter().any(|path| rustix::fs::stat(path.as_c_str()).is_ok()));
    LOOKS.briefly(look).await.unwrap_or(false)
}

#[derive(Clone, Copy)]
enum Stage {
    Terminal = 0,
    Stdio = 1,
    Limits = 2,
    Workdir = 3,
    Identity = 4,
    Exec = 5,
}

impl Stage {
    const STEPS: [&str; 5] = [
        "take the terminal",
        "connect stdio",
        "set a limit",
        "enter the working directory",
        "become the user",
    ];
}

/// Everything the child needs, as raw as system calls take it.
struct Prepared<'a> {
    candidates: Vec<*const libc::c_char>,
    args: Vec<*const libc::c_char>,
    env: Vec<*const libc::c_char>,
    plan: &'a Plan,
    stdio: [RawFd; 3],
    report: RawFd,
}

impl<'a> Prepared<'a> {
    fn new(plan: &'a Plan, wiring: &Wiring, report: BorrowedFd<'_>) -> Self {
        let pointers = |texts: &[CString]| {
            let mut list: Vec<_> = texts.iter().map(|text| text.as_ptr()).collect();
            list.push(ptr::null());
            list
        };
        Self {
            candidates: pointers(&plan.candidates),
            args: pointers(&plan.args),
            env: pointers(&plan.env),
            plan,
            stdio: wiring.child.each_ref().map(AsRawFd::as_raw_fd),
            report: report.as_raw_fd(),
        }
    }

    /// Becomes the program, or reports and exits.
    ///
    /// # Safety
    /// Only in a child right after fork: it rewires descriptors and identity of the whole process.
    unsafe fn run(&self) -> ! {
        // SAFETY: system calls on descriptors and memory that outlive this process; nothing allocates or locks.
        unsafe {
            let (stage, errno) = match self.become_program() {
                Ok(never) => match never {},
                Err(failure) => failure,
            };
            let mut bytes = [0; Report::LENGTH];
            bytes[..4].copy_from_slice(&(stage as u32).to_ne_bytes());
            bytes[4..].copy_from_slice(&errno.to_ne_bytes());
            libc::write(self.report, bytes.as_ptr().cast(), bytes.len());
            libc::_exit(127)
        }
    }

    unsafe fn become_program(&self) -> Result<std::convert::Infallible, (Stage, i32)> {
        // SAFETY: as `run`.
        unsafe {
            // Rust ignores SIGPIPE, and what is ignored stays so over exec; handlers do not.
            libc::signal(libc::SIGPIPE, libc::SIG_DFL);
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &none, ptr::null_mut());

            // Below the agent's own protection before it is anything else.
            let adjust = libc::open(
                c"/proc/self/oom_score_adj".as_ptr(),
                libc::O_WRONLY | libc::O_CLOEXEC,
            );
            if adjust >= 0 {
                libc::write(adjust, c"0".as_ptr().cast(), 1);
            }

            libc::setsid();
            if self.plan.tty.is_some() && libc::ioctl(self.stdio[0], libc::TIOCSCTTY, 0) != 0 {
                return Err((Stage::Terminal, errno()));
            }
            for (target, &fd) in (0..).zip(&self.stdio) {
                if libc::dup2(fd, target) < 0 {
                    return Err((Stage::Stdio, errno()));
                }
            }
            libc::umask(0o022);
            self.apply_limits()?;
            self.enter_identity()?;
            Err((Stage::Exec, self.exec()))
        }
    }

    unsafe fn apply_limits(&self) -> Result<(), (Stage, i32)> {
        let limit = |resource, value| rustix::process::setrlimit(resource, value);
        // Fails only where the hard limit is already lower (tests as an ordinary user).
        let _ = limit(Resource::Nofile, DEFAULT_NOFILE);
        for (resource, value) in &self.plan.limits {
            limit(*resource, *value).map_err(|error| (Stage::Limits, error.raw_os_error()))?;
        }
        Ok(())
    }

    unsafe fn enter_identity(&self) -> Result<(), (Stage, i32)> {
        let workdir = &self.plan.workdir;
        let identity = &self.plan.identity;
        // SAFETY: plain system calls; the pointers are to live memory of the lengths given.
        unsafe {
            let entered = libc::chdir(workdir.as_ptr()) == 0;
            let not_entered = errno();
            let same = libc::getuid() == identity.uid && libc::getgid() == identity.gid;
            // The raw calls: glibc's own tell every thread of the parent, and those are not in this process.
            let refused = libc::syscall(
                libc::SYS_setgroups,
                identity.groups.len(),
                identity.groups.as_ptr(),
            ) != 0
                || libc::syscall(libc::SYS_setgid, identity.gid) != 0
                || libc::syscall(libc::SYS_setuid, identity.uid) != 0;
            if refused && !(same && libc::getuid() != 0) {
                return Err((Stage::Identity, errno()));
            }
            // A directory that only its user may enter (root on a network file system).
            if !entered && libc::chdir(workdir.as_ptr()) != 0 {
                return Err((Stage::Workdir, not_entered));
            }
        }
        Ok(())
    }

    /// Tries each candidate; gives the errno that says most.
    unsafe fn exec(&self) -> i32 {
        let mut verdict = libc::ENOENT;
        for &candidate in &self.candidates {
            if candidate.is_null() {
                break;
            }
            // SAFETY: NUL-terminated strings and null-terminated lists, all alive.
            unsafe { libc::execve(candidate, self.args.as_ptr(), self.env.as_ptr()) };
            match errno() {
                libc::ENOENT | libc::ENOTDIR => {}
                // As a shell: a file that may not be run hides behind one later in PATH that may.
                libc::EACCES => verdict = libc::EACCES,
                other => return other,
            }
        }
        verdict
    }
}

fn errno() -> i32 {
    io::Error::last_os_error()
        .raw_os_error()
        .unwrap_or(Errno::INVAL.raw_os_error())
}

/// fork(2), into a cgroup where there is one: moving a process into it later takes the kernel's lock on all forks and
/// exits, and 14 ms of a guest under software emulation. Best effort: a kernel without cgroups still runs programs.
///
/// # Safety
/// As fork's: the child may only make system calls.
unsafe fn fork_into(cgroup: Option<BorrowedFd<'_>>) -> libc::pid_t {
    if let Some(cgroup) = cgroup {
        // SAFETY: all zeros are valid, and ask for nothing.
        let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
        args.flags = CLONE_INTO_CGROUP;
        args.exit_signal = libc::SIGCHLD as u64;
        args.cgroup = cgroup.as_raw_fd() as u64;
        // SAFETY: the kernel reads `args`; without CLONE_VM the child has this stack as its own copy.
        match unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of_val(&args)) } {
            // A kernel before 5.7 (ENOSYS, E2BIG, EINVAL), or a group that takes none: better outside than not at all.
            -1 => {}
            pid => return pid as libc::pid_t,
        }
    }
    // SAFETY: the caller's promise.
    unsafe { libc::fork() }
}
