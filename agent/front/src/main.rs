//! `kiln`: does `kiln exec` itself, because starting Node costs more than the exec; becomes the TypeScript CLI for every
//! other verb and for all of `exec` that is not plain. That CLI stays the reference: this program says nothing in words
//! of its own, and never asks twice for what may have been done once (docs/design/0010-front-end.md).

mod call;
mod envelope;
mod flags;
mod host;
mod package;
mod plan;
mod session;
mod signals;
mod stdio;
mod terminal;

/// Messages of `proto/kiln/v1/vm.proto`, generated (see `agent/codegen/`).
#[allow(clippy::all, clippy::pedantic, dead_code, missing_docs)]
mod proto {
    include!("gen/kiln.v1.rs");
}

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;

use tokio::runtime::Builder;

use crate::package::Package;
use crate::plan::{Exec, World, plan};
use crate::session::End;
use crate::signals::Signals;

fn main() {
    let package = Package::locate(std::env::var_os("KILN_NODE"));
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let world = World {
        env: &|name| std::env::var_os(name),
        uid: rustix::process::getuid().as_raw(),
        terminal: terminal::is_typed_on(),
    };
    // Where nobody listens, the TypeScript CLI starts kilnd or says why not.
    let ready = plan(&args, &world).and_then(|exec| Some((UnixStream::connect(&exec.socket).ok()?, exec)));
    let Some((stream, exec)) = ready else {
        package.hand_over(&args)
    };
    let debug = exec.debug;
    let end = carry(stream, exec);
    terminal::restore();
    match end {
        Err(_) => package.hand_over(&args),
        Ok(End::Exit(exit)) => {
            if !exit.error.is_empty() {
                let _ = writeln!(io::stderr(), "kiln: {}", exit.error); // its exit code says it too
            }
            std::process::exit(exit.code);
        }
        Ok(End::Failed(failed)) => package.report(&failed, debug),
        Ok(End::Left(code)) => std::process::exit(code),
    }
}

/// An error is one of our own surroundings, before anything was sent; afterwards nothing is sent again.
fn carry(stream: UnixStream, exec: Exec) -> io::Result<End> {
    stream.set_nonblocking(true)?;
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let end = runtime.block_on(async {
        let stream = tokio::net::UnixStream::from_std(stream)?;
        let signals = Signals::listen()?;
        Ok(session::run(stream, signals, exec).await)
    });
    // What still reads or writes on a thread is not waited for.
    runtime.shutdown_background();
    end
}
