//! A program wired to this process: output out, input in, size, signals. As `src/cli/session.ts` does it, for exec and run.

use rustix::io::Errno;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::call::Connection;
use crate::inputs::{Inputs, Reach};
use crate::lasting::{INTERRUPTED, Lasting};
use crate::outage::Way;
use crate::program::{End, Input, Program};
use crate::signals::{Notice, Signals, die_of};
use crate::stdio::{self, Written};
use crate::terminal;

/// As Docker: who presses Ctrl-C so often wants out, whatever the program thinks.
const IMPATIENCE: u32 = 3;
/// Signals and sizes that wait behind stdin for kilnd's window; what is more is dropped, as signals are.
const MAX_NOTICES: usize = 16;
/// What a program ended by SIGPIPE shows: 128 + 13.
const PIPE_CLOSED: i32 = 141;
/// What asks a program to end.
const ENDING: [libc::c_int; 4] = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM];

/// What of this process the program gets.
#[derive(Clone, Copy, Debug)]
pub struct Wiring {
    /// It runs on a terminal.
    pub tty: bool,
    pub stdin: bool,
    /// Signals that ask it to end do not wait for its start: without it nothing of ours is left behind.
    pub early: bool,
}

/// Carries the program until its output ends, however it ends. Before anything was heard of one that is `early`, what
/// asks it to end ends this process.
pub async fn run<P: Program>(
    connection: &Connection,
    way: Way<'_>,
    signals: Signals,
    program: &P,
    wiring: Wiring,
) -> End<P::Exit> {
    let on_terminal = wiring.tty && wiring.stdin && terminal::is_typed_on();
    let (notices, queue) = mpsc::channel(MAX_NOTICES);
    let reach = Reach::default();
    reach.unheard.set(wiring.early);
    let inputs = Inputs {
        notices: queue,
        stdin: wiring.stdin.then(stdio::read_stdin),
    };
    if on_terminal {
        terminal::make_raw();
    }
    let (pieces, written) = stdio::write_output();
    let call = Lasting::new(program, &reach, pieces, on_terminal);
    tokio::select! {
        end = carry(call.run(connection, way, inputs), written) => end,
        end = listen(signals, notices, &reach, wiring.tty, on_terminal) => end,
    }
}

/// The call to its end, and all of the output.
async fn carry<E>(call: impl Future<Output = End<E>>, mut written: Written) -> End<E> {
    let end = tokio::select! {
        end = call => end,
        failed = &mut written => return End::Left(code_of(failed.unwrap_or(Ok(())))),
    };
    match written.await.unwrap_or(Ok(())) {
        Ok(()) => end,
        failed => End::Left(code_of(failed)),
    }
}

fn code_of(written: Result<(), Errno>) -> i32 {
    match written {
        // A socket, which is what many programs give their children for a pipe, says ECONNRESET where it was closed
        // with data unread in it.
        Err(Errno::PIPE | Errno::CONNRESET) => PIPE_CLOSED,
        // Anything else (EIO: the terminal has gone) leaves nobody to tell.
        _ => 1,
    }
}

/// Signals and sizes. Returns where the user wants out.
async fn listen<E>(
    mut signals: Signals,
    notices: mpsc::Sender<Input>,
    reach: &Reach,
    tty: bool,
    on_terminal: bool,
) -> End<E> {
    let mut interrupts = 0;
    loop {
        let mut ending = None;
        let notice = match signals.next().await {
            // The keys are the program's. A signal that comes all the same is meant for us.
            Notice::Signal(_, number) if on_terminal => {
                terminal::restore();
                die_of(number);
            }
            Notice::Signal(name, number) => {
                interrupts += u32::from(number == libc::SIGINT || number == libc::SIGTERM);
                if interrupts >= IMPATIENCE {
                    return End::Left(INTERRUPTED);
                }
                if reach.is_cut_off() || (reach.unheard.get() && ENDING.contains(&number)) {
                    return End::Left(128 + number);
                }
                ending = Some(number).filter(|number| ENDING.contains(number));
                Input::Signal(name.to_owned())
            }
            Notice::Resized => match terminal::size() {
                Some(size) if tty => Input::Resize(size),
                _ => continue,
            },
        };
        // Too many at once, or none to hear them: the program has ended and its output is still on its way.
        let sent = notices.try_send(notice).is_ok();
        let Some(number) = ending else { continue };
        if !sent {
            return End::Left(128 + number);
        }
        reach.ending.set(Some((number, Instant::now())));
    }
}
