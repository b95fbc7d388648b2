//! A program wired to this process: output out, input in, size, signals. As `src/cli/session.ts` does it, for exec and run.

use std::future::pending;

use bytes::Bytes;
use prost::Message;
use rustix::io::Errno;
use tokio::sync::mpsc;

use crate::call::{Answers, Connection, Failed, Requests};
use crate::proto::{Output, OutputStream, Resize};
use crate::signals::{Notice, Signals, die_of};
use crate::stdio::{self, Pieces, Stream};
use crate::terminal;

/// As Docker: who presses Ctrl-C so often wants out, whatever the program thinks.
const IMPATIENCE: u32 = 3;
/// Signals and sizes that wait behind stdin for kilnd's window; what is more is dropped, as signals are.
const MAX_NOTICES: usize = 16;
/// What a program ended by SIGPIPE shows: 128 + 13.
const PIPE_CLOSED: i32 = 141;
const INTERRUPTED: i32 = 130;

/// What goes to a program.
pub enum Input {
    Stdin(Bytes),
    StdinEof,
    Resize(Resize),
    Signal(String),
}

/// What comes of it.
pub enum Event<E> {
    Output(Output),
    Exit(E),
    /// That it has started, or a word of a newer kilnd.
    Other,
}

/// A call that carries a program.
pub trait Program {
    const METHOD: &'static str;
    type Ask: Message;
    type Answer: Message + Default;
    type Exit;
    fn ask(input: Input) -> Self::Ask;
    fn read(answer: Self::Answer) -> Event<Self::Exit>;
}

/// What of this process the program gets.
#[derive(Clone, Copy, Debug)]
pub struct Wiring {
    /// It runs on a terminal.
    pub tty: bool,
    pub stdin: bool,
}

/// How it ended.
#[derive(Debug)]
pub enum End<E> {
    /// The program did, or could not be started.
    Exit(E),
    /// The call failed.
    Failed(Failed),
    /// We did: our reader has gone, or the user is out of patience.
    Left(i32),
}

/// Carries the program until its output ends, however it ends.
pub async fn run<P: Program>(
    connection: &Connection,
    signals: Signals,
    start: P::Ask,
    wiring: Wiring,
) -> End<P::Exit> {
    let on_terminal = wiring.tty && wiring.stdin && terminal::is_typed_on();
    let (notices, queue) = mpsc::channel(MAX_NOTICES);
    tokio::select! {
        end = carry::<P>(connection, start, wiring.stdin, queue, on_terminal) => end,
        end = listen(signals, notices, wiring.tty, on_terminal) => end,
    }
}

/// The call to its end, and all of the output.
async fn carry<P: Program>(
    connection: &Connection,
    start: P::Ask,
    with_stdin: bool,
    notices: mpsc::Receiver<Input>,
    on_terminal: bool,
) -> End<P::Exit> {
    if on_terminal {
        terminal::make_raw();
    }
    let (pieces, mut written) = stdio::write_output();
    let end = tokio::select! {
        end = call::<P>(connection, start, with_stdin, notices, pieces) => end,
        failed = &mut written => return End::Left(code_of(failed.unwrap_or(Ok(())))),
    };
    match written.await.unwrap_or(Ok(())) {
        Ok(()) => end,
        failed => End::Left(code_of(failed)),
    }
}

fn code_of(written: Result<(), Errno>) -> i32 {
    // Anything but EPIPE (EIO: the terminal has gone) leaves nobody to tell.
    if written == Err(Errno::PIPE) {
        PIPE_CLOSED
    } else {
        1
    }
}

async fn call<P: Program>(
    connection: &Connection,
    start: P::Ask,
    with_stdin: bool,
    notices: mpsc::Receiver<Input>,
    pieces: Pieces,
) -> End<P::Exit> {
    let (mut requests, answers) = match connection.call(P::METHOD).await {
        Ok(call) => call,
        Err(failed) => return End::Failed(failed),
    };
    let asking = async {
        // Where it fails, the answers say why.
        let _ = ask::<P>(&mut requests, start, notices, with_stdin).await;
        pending().await
    };
    tokio::select! {
        end = pump::<P>(answers, pieces) => end.unwrap_or_else(End::Failed),
        end = asking => end,
    }
}

/// Output, until the program's end. Nothing is read while a write waits.
async fn pump<P: Program>(mut answers: Answers<P::Answer>, pieces: Pieces) -> Result<End<P::Exit>, Failed> {
    loop {
        match P::read(answers.next().await?) {
            Event::Output(output) => {
                let stream = match output.stream() {
                    OutputStream::Stderr => Stream::Stderr,
                    _ => Stream::Stdout,
                };
                if pieces.send((stream, output.data)).await.is_err() {
                    // The writer has failed, which ends all of this.
                    return pending().await;
                }
            }
            Event::Exit(exit) => return Ok(End::Exit(exit)),
            Event::Other => {}
        }
    }
}

/// The start, then notices and stdin as they come. Returns only where the call is over.
async fn ask<P: Program>(
    requests: &mut Requests<P::Ask>,
    start: P::Ask,
    mut notices: mpsc::Receiver<Input>,
    with_stdin: bool,
) -> Result<(), Failed> {
    requests.send(&start).await?;
    let mut stdin = with_stdin.then(stdio::read_stdin);
    loop {
        let next = tokio::select! {
            biased;
            Some(notice) = notices.recv() => notice,
            piece = next_piece(&mut stdin) => piece.map_or(Input::StdinEof, Input::Stdin),
        };
        requests.send(&P::ask(next)).await?;
    }
}

/// The next piece of stdin; None once at its end, then nothing any more.
async fn next_piece(stdin: &mut Option<mpsc::Receiver<Bytes>>) -> Option<Bytes> {
    let Some(open) = stdin else { return pending().await };
    let piece = open.recv().await;
    if piece.is_none() {
        *stdin = None;
    }
    piece
}

/// Signals and sizes. Returns where the user is out of patience.
async fn listen<E>(
    mut signals: Signals,
    notices: mpsc::Sender<Input>,
    tty: bool,
    on_terminal: bool,
) -> End<E> {
    let mut interrupts = 0;
    loop {
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
                Input::Signal(name.to_owned())
            }
            Notice::Resized => match terminal::size() {
                Some(size) if tty => Input::Resize(size),
                _ => continue,
            },
        };
        // Too many at once, or none to hear them: the program has ended and its output is still on its way.
        let _ = notices.try_send(notice);
    }
}
