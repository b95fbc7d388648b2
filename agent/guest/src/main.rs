//! `kiln-agent`: /init of a kiln guest.
//!
//! As PID 1 it makes the machine ready, finds the host's channel and serves it for ever; Boot does the rest. The same
//! binary is systemd's way back at shutdown (`machine::system`).

#[cfg(not(any(
    debug_assertions,
    clippy,
    test,
    target_feature = "crt-static",
    feature = "host-test"
)))]
compile_error!("a guest has no dynamic loader: build the agent with `cargo agent` in agent/");

mod agent;
mod archive;
mod aside;
mod channel;
mod clock;
mod console;
mod grpc;
mod logring;
mod machine;
mod mount;
mod once;
mod process;
mod role;
mod service;
mod share;
mod watch;
mod workload;

/// Messages of `proto/kiln/agent/v1`, generated (see `agent/codegen/`).
#[allow(clippy::all, clippy::pedantic, missing_docs)]
mod proto {
    include!("gen/kiln.agent.v1.rs");
}

use std::io;
use std::rc::Rc;

use tokio::runtime::Builder;
use tokio::task::{LocalSet, spawn_local};

use crate::agent::Agent;
use crate::channel::Channel;
use crate::channel::find::find_channel;
use crate::role::Role;

fn main() {
    let started_us = clock::boottime_us();
    let mut raw = std::env::args_os();
    if raw.next().is_some_and(|name| name == share::process::NAME) {
        share::process::run(raw);
    }
    let mut args = std::env::args();
    let name = args.next().unwrap_or_default();
    if std::process::id() == 1 {
        if name.ends_with("/shutdown") {
            machine::exitrd::run_hook(&args.next().unwrap_or_default());
        }
        run_as_init(started_us);
    }
    #[cfg(feature = "host-test")]
    if let (Some("--serve-on"), Some(path)) = (args.next().as_deref(), args.next()) {
        return serve_on(&path);
    }
    if args.next().as_deref() == Some("--version") || name.is_empty() {
        println!("kiln-agent {}", env!("CARGO_PKG_VERSION"));
        return;
    }
    eprintln!(
        "kiln-agent {} is the init of kiln's guests and does nothing elsewhere",
        env!("CARGO_PKG_VERSION")
    );
    std::process::exit(2);
}

/// Never returns: an init that ends is a kernel panic, which is how the host learns that the agent broke.
fn run_as_init(started_us: u64) -> ! {
    // First of all: everything below talks to the kernel through these.
    if let Err(error) = machine::mounts::mount_first() {
        panic!("mount /proc, /sys and /dev: {error}");
    }
    machine::system::claim_ctrl_alt_del();
    machine::modules::load_all();
    let agent = Agent::new(Role::Init);
    agent.timings.mark_init(started_us);
    agent.timings.mark_modules();
    let error = run(&agent, async {
        machine::signals::listen(&agent)?;
        serve(&agent, find_channel().await?).await
    });
    panic!("the channel to the host is gone: {error:?}");
}

/// Serves whoever comes over the channel, until it breaks.
async fn serve(agent: &Rc<Agent>, mut channel: Channel) -> io::Result<()> {
    let greeted = || agent.timings.mark_hello();
    channel
        .serve(greeted, async |connection| {
            service::serve(connection, agent).await
        })
        .await
}

/// Runs `body` and the reaper on this one thread until either ends.
fn run(agent: &Rc<Agent>, body: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let reaped = agent.clone();
        spawn_local(async move {
            if let Err(error) = reaped.reaper.run(|| machine::system::on_reaped(&reaped)).await {
                panic!("wait for children: {error}");
            }
        });
        body.await
    })
}

/// Tests: the services on a unix socket, as an ordinary process.
#[cfg(feature = "host-test")]
fn serve_on(path: &str) {
    let agent = Agent::new(Role::Host);
    let served = run(&agent, async {
        serve(&agent, Channel::Unix(tokio::net::UnixListener::bind(path)?)).await
    });
    if let Err(error) = served {
        eprintln!("serve on {path}: {error}");
        std::process::exit(1);
    }
}
