//! Boot: from the initramfs to the running program, in the order in which each step needs the ones before it.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};

use super::dns::{self, Prepared};
use super::{cgroup, etc_text, handover, mounts, names, net, paths, ready, root, sysctl};
use crate::agent::{Agent, Held};
use crate::aside;
use crate::clock;
use crate::console;
use crate::grpc::status::{Result, Status};
use crate::mount;
use crate::process::plan::{self, StartFailure};
use crate::proto::{BootRequest, BootResponse, EndAction, Mode, Phase, ProcessSpec, RootDisk};
use crate::role::Role;
use crate::workload::program::Program;

/// A host that asks for more wants the guest's memory for its log.
const MAX_LOG: u64 = 256 << 20;

/// Runs the whole of it, once. A failure leaves an agent that has ended: the host acknowledges, and the guest ends.
pub async fn boot(agent: &Rc<Agent>, request: BootRequest) -> Result<BootResponse> {
    if agent.phase() != Phase::Waiting {
        return Err(Status::precondition("the guest has booted already"));
    }
    check(&request)?;
    agent.set_phase(Phase::Booting);
    let held = Held {
        process: request.process.clone().unwrap_or_default(),
        patience: Duration::from_millis(u64::from(request.init_patience_ms)),
        seals_root: request.read_only_root,
    };
    let filled = match set_up(agent, &request).await {
        Ok(filled) => filled,
        Err(status) => return Err(give_up(agent, status)),
    };
    if !request.hold {
        let started = start(agent, held).await?;
        return Ok(BootResponse { filled, ..started });
    }
    if request.mode() == Mode::System {
        aside::leave_no_threads(true);
    }
    agent.held.replace(Some(held));
    agent.set_phase(Phase::Held);
    Ok(BootResponse {
        pid: 0,
        timings: Some(agent.timings.get()),
        held: true,
        filled,
    })
}

/// The rest of a boot with `hold`, once.
pub async fn start_program(agent: &Rc<Agent>) -> Result<BootResponse> {
    let held = agent.held.take();
    let held = held.ok_or_else(|| Status::precondition("no boot waits for its program"))?;
    agent.set_phase(Phase::Booting);
    start(agent, held).await
}

async fn start(agent: &Rc<Agent>, held: Held) -> Result<BootResponse> {
    let Held {
        process,
        patience,
        seals_root,
    } = held;
    if seals_root && agent.role() == Role::Init {
        // The program's directory is made as ever; where it can't be, its start says so.
        let _ = plan::plan(&process).and_then(|plan| plan::make_workdir(&plan));
        root::make_read_only().map_err(|status| give_up(agent, status))?;
    }
    let started = match (agent.role(), agent.mode.get()) {
        (Role::Init, Mode::System) => start_init(agent, &process).await,
        (role, _) => Ok(Program::start(role, &agent.reaper, &agent.log, &agent.exit, &process).await),
    };
    let pid = match started.map_err(|status| give_up(agent, status))? {
        Ok(program) => {
            let pid = program.pid;
            agent.program.replace(Some(program));
            pid
        }
        // A program that cannot be started has ended: its exit says why.
        Err(StartFailure { code, text }) => {
            agent.end_with(code, text);
            0
        }
    };
    if agent.exit.get().is_none() {
        agent.set_phase(Phase::Running);
    }
    if agent.mode.get() == Mode::System && agent.role() == Role::BesideInit {
        ready::wait(agent, patience).await;
    }
    agent.timings.mark_started();
    Ok(BootResponse {
        pid,
        timings: Some(agent.timings.get()),
        held: false,
        filled: Vec::new(),
    })
}

fn give_up(agent: &Agent, status: Status) -> Status {
    agent.end_with(125, status.message.clone());
    status
}

/// What can be refused before anything has been done, so that the host may ask again.
fn check(request: &BootRequest) -> Result<()> {
    etc_text::check_hostname(&request.hostname)?;
    etc_text::hosts_file(&request.hostname, None, &request.hosts)?;
    names::block(&request.names)?;
    mount::check_all(&request.mounts)?;
    if request.mode() == Mode::Unspecified {
        return Err(Status::invalid("the mode is neither app nor system"));
    }
    if request.entropy.len() > clock::MAX_ENTROPY {
        return Err(Status::invalid(format!(
            "more than {} bytes of entropy",
            clock::MAX_ENTROPY
        )));
    }
    Ok(())
}

/// Gives the ids of the mounts that were filled.
async fn set_up(agent: &Rc<Agent>, request: &BootRequest) -> Result<Vec<String>> {
    agent.mode.set(request.mode());
    agent
        .end_action
        .set(EndAction::try_from(request.end_action).unwrap_or(EndAction::Unspecified));
    if request.log_buffer_bytes != 0 {
        agent
            .log
            .set_capacity(request.log_buffer_bytes.min(MAX_LOG) as usize);
    }
    if request.stop_signal != 0 {
        agent.own_stop.set((request.stop_signal, request.stop_timeout_ms));
    }
    if agent.role() == Role::Host {
        return Ok(Vec::new());
    }

    protect_agent();
    // Randomness and time first: everything after may draw on them.
    if !request.entropy.is_empty() {
        clock::add_entropy(&request.entropy)
            .map_err(|error| Status::from_io("seed the kernel's RNG", error))?;
    }
    if request.clock_unix_ns != 0 {
        clock::set_realtime_ns(request.clock_unix_ns)
            .map_err(|error| Status::from_io("set the clock", error))?;
    }
    let filled = enter_root(agent, request).await?;
    configure(request)?;
    agent.timings.mark_root();
    Ok(filled)
}

/// Limits and protection of the agent itself; programs get their own. Not before the hello: nothing runs till now that
/// could take memory, and looking up /proc/self takes a guest under software emulation milliseconds.
fn protect_agent() {
    rustix::process::umask(rustix::fs::Mode::from(0o022));
    // Each exec takes some descriptors and each published connection one.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(65_536),
            maximum: Some(524_288),
        },
    );
    let _ = std::fs::write("/proc/self/oom_score_adj", "-1000");
}

async fn enter_root(agent: &Rc<Agent>, request: &BootRequest) -> Result<Vec<String>> {
    let disk = request.root.clone().unwrap_or(RootDisk {
        base_device: "/dev/vda".to_owned(),
        ..Default::default()
    });
    root::mount_root(&disk).await?;
    mounts::mount_rest().map_err(|error| Status::from_io("mount the terminals", error))?;
    mounts::size_shm(request.shm_bytes).map_err(|error| Status::from_io("give /dev/shm its size", error))?;
    let prepared = Prepared::new().map_err(|error| Status::from_io("make the files of /etc", error))?;
    agent
        .mounts
        .prepare(dns::HIDDEN)
        .map_err(|error| Status::from_io("find a place to prepare mounts", error))?;
    let mut moved = vec!["/proc", "/sys", "/dev"];
    if request.mode() == Mode::System {
        mounts::mount_run().map_err(|error| Status::from_io("mount /run", error))?;
        moved.push("/run");
    } else if let Err(error) = cgroup::set_up() {
        console::error(format_args!("no cgroups: {error}"));
    }
    mounts::move_into(root::NEW_ROOT, &moved)?;
    root::switch()?;
    if let Some(disk) = &request.modules {
        root::mount_modules(disk).await?;
    }
    let filled = make_mounts(agent, request).await?;
    let own = net::first_address(request.network.as_ref());
    let mut hosts = etc_text::hosts_file(&request.hostname, own.as_deref(), &request.hosts)?;
    hosts += &names::block(&request.names)?;
    agent.placed.replace(prepared.place(
        (request.mode(), &agent.mounts),
        &request.hostname,
        &hosts,
        request.dns.as_ref(),
    )?);
    make_directories(&request.directories);
    if request.mode() == Mode::App {
        mounts::share_all().map_err(|error| Status::from_io("share the mounts", error))?;
    }
    Ok(filled)
}

/// Before kiln's own files of /etc are: they lie over a volume of /etc, too.
async fn make_mounts(agent: &Rc<Agent>, request: &BootRequest) -> Result<Vec<String>> {
    if !request.mounts.is_empty() && request.mode() == Mode::System {
        // They are made on threads, and the init comes after.
        aside::leave_no_threads(true);
    }
    agent.mounts.make_all(request.mounts.clone()).await
}

/// The image's volumes. One that cannot be made is the image's own affair: its program will say what it misses.
fn make_directories(wanted: &[String]) {
    for path in wanted {
        if let Err(error) = paths::make_directory(Path::new("/"), Path::new(path)) {
            console::error(format_args!("no directory {}: {error}", path.escape_debug()));
        }
    }
}

fn configure(request: &BootRequest) -> Result<()> {
    if !request.hostname.is_empty() {
        rustix::system::sethostname(request.hostname.as_bytes())
            .map_err(|error| Status::from_io("set the host name", error))?;
    }
    net::loopback_up()?;
    if let Some(network) = &request.network {
        net::configure(network)?;
    }
    if request.mode() == Mode::App {
        sysctl::apply_defaults();
    }
    sysctl::apply(&request.sysctls)
}

async fn start_init(
    agent: &Rc<Agent>,
    process: &ProcessSpec,
) -> Result<std::result::Result<Rc<Program>, StartFailure>> {
    let planned = plan::plan(process).and_then(|plan| plan::make_workdir(&plan).map(|()| plan));
    match planned {
        Ok(plan) => handover::hand_over(agent, &plan).await,
        Err(failure) => Ok(Err(failure)),
    }
}
