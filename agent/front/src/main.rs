//! `kiln`: does plain `kiln exec` and `kiln run` itself, because starting Node costs more than they do; becomes the
//! TypeScript CLI for every other verb and for all that is not plain. That CLI stays the reference: this program says
//! nothing in words of its own, and never asks twice for what may have been done once (docs/design/0010-front-end.md).

mod call;
mod carried;
mod envelope;
mod exec;
mod failed;
mod flags;
mod host;
mod inputs;
mod kept;
mod lasting;
mod names;
mod outage;
mod outcome;
mod package;
mod plan;
mod program;
mod pulse;
mod refusal;
mod run;
mod session;
mod signals;
mod stdio;
mod terminal;
mod trust;

/// Messages of `proto/kiln/v1`, generated (see `agent/codegen/`).
#[allow(clippy::all, clippy::pedantic, dead_code, missing_docs)]
mod proto {
    include!("gen/kiln.v1.rs");
}

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;

use tokio::runtime::Builder;

use crate::call::Connection;
use crate::outage::Way;
use crate::outcome::Outcome;
use crate::package::Package;
use crate::plan::{Plan, Verb, World, plan};
use crate::signals::Signals;
use crate::trust::{Me, is_trusted};

fn main() {
    let package = Package::locate(std::env::var_os("KILN_NODE"));
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let world = World {
        env: &|name| std::env::var_os(name),
        uid: rustix::process::getuid().as_raw(),
        terminal: terminal::is_typed_on(),
    };
    // Where nobody listens, the TypeScript CLI starts kilnd or says why not; where somebody else might, it refuses.
    let me = Me {
        uid: world.uid,
        gid: rustix::process::getgid().as_raw(),
    };
    let ready = plan(&args, &world)
        .filter(|plan| is_trusted(&plan.host.socket, me))
        .and_then(|plan| Some((UnixStream::connect(&plan.host.socket).ok()?, plan)));
    let Some((stream, Plan { globals, host, verb })) = ready else {
        package.hand_over(&args)
    };
    let way = Way {
        socket: &host.socket,
        me,
        package: host.is_default.then_some(&package),
        starter: None,
    };
    // An error is one of our own surroundings, before anything was sent.
    let outcome = carry(stream, way, verb).unwrap_or(Outcome::HandOver);
    terminal::restore();
    match outcome {
        Outcome::HandOver => package.hand_over(&args),
        Outcome::Exit { code, note } => {
            if !note.is_empty() {
                let _ = writeln!(io::stderr(), "kiln: {}", outcome::printable(&note)); // its exit code says it too
            }
            std::process::exit(code);
        }
        Outcome::Tell(words) => package.tell(&args[..globals], &words),
    }
}

fn carry(stream: UnixStream, way: Way<'_>, verb: Verb) -> io::Result<Outcome> {
    stream.set_nonblocking(true)?;
    let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
    let outcome = runtime.block_on(async {
        let stream = tokio::net::UnixStream::from_std(stream)?;
        match verb {
            Verb::Exec(start) => {
                let signals = Signals::listen()?;
                Ok(match Connection::open(stream).await {
                    Ok(connection) => exec::exec(&connection, way, signals, start).await,
                    Err(_) => Outcome::HandOver,
                })
            }
            Verb::Run(request) => Ok(match Connection::open(stream).await {
                Ok(connection) => run::run(&connection, way, Signals::listen, &request).await,
                Err(_) => Outcome::HandOver,
            }),
        }
    });
    // What still reads or writes on a thread is not waited for.
    runtime.shutdown_background();
    outcome
}
