//! One exec wired to this process: output out, input in, size, signals. As `src/cli/session.ts` does it.

use std::future::pending;

use bytes::Bytes;
use rustix::io::Errno;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use crate::call::{self, Answers, Failed, Requests};
use crate::plan::Exec;
use crate::proto::exec_request::Message as Ask;
use crate::proto::exec_response::Message as Answer;
use crate::proto::{ExecExit, ExecStart, OutputStream};
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

/// How it ended.
#[derive(Debug)]
pub enum End {
    /// The program did, or could not be started (`error` says why).
    Exit(ExecExit),
    /// The call failed, and the program with it where it ran.
    Failed(Failed),
    /// We did: our reader has gone, or the user is out of patience.
    Left(i32),
}

/// Carries the program until its output ends, however it ends.
pub async fn run(stream: UnixStream, signals: Signals, exec: Exec) -> End {
    let tty = exec.config.tty;
    let on_terminal = tty && exec.config.stdin && terminal::is_typed_on();
    let (notices, queue) = mpsc::channel(MAX_NOTICES);
    tokio::select! {
        end = carry(stream, exec, queue, on_terminal) => end,
        end = listen(signals, notices, tty, on_terminal) => end,
    }
}

/// The call to its end, and all of the output.
async fn carry(stream: UnixStream, exec: Exec, notices: mpsc::Receiver<Ask>, on_terminal: bool) -> End {
    let (pieces, mut written) = stdio::write_output();
    let end = tokio::select! {
        end = call(stream, exec, notices, on_terminal, pieces) => end,
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

async fn call(
    stream: UnixStream,
    exec: Exec,
    notices: mpsc::Receiver<Ask>,
    on_terminal: bool,
    pieces: Pieces,
) -> End {
    let Exec { vm, mut config, .. } = exec;
    let (mut requests, answers) = match call::open(stream).await {
        Ok(call) => call,
        Err(failed) => return End::Failed(failed),
    };
    if on_terminal {
        terminal::make_raw();
    }
    if let Some(size) = terminal::size().filter(|_| config.tty) {
        (config.columns, config.rows) = (size.columns, size.rows);
    }
    let stdin = config.stdin;
    let start = Ask::Start(ExecStart {
        vm,
        config: Some(config),
    });
    let asking = async {
        // Where it fails, the answers say why.
        let _ = ask(&mut requests, start, notices, stdin).await;
        pending().await
    };
    tokio::select! {
        end = pump(answers, pieces) => end.unwrap_or_else(End::Failed),
        end = asking => end,
    }
}

/// Output, until the program's end. Nothing is read while a write waits.
async fn pump(mut answers: Answers, pieces: Pieces) -> Result<End, Failed> {
    loop {
        match answers.next().await?.message {
            Some(Answer::Output(output)) => {
                let stream = match output.stream() {
                    OutputStream::Stderr => Stream::Stderr,
                    _ => Stream::Stdout,
                };
                if pieces.send((stream, output.data)).await.is_err() {
                    // The writer has failed, which ends all of this.
                    return pending().await;
                }
            }
            Some(Answer::Exit(exit)) => return Ok(End::Exit(exit)),
            // `started`, or a word of a newer kilnd.
            Some(Answer::Started(_)) | None => {}
        }
    }
}

/// The start, then notices and stdin as they come. Returns only where the call is over.
async fn ask(
    requests: &mut Requests,
    start: Ask,
    mut notices: mpsc::Receiver<Ask>,
    with_stdin: bool,
) -> Result<(), Failed> {
    requests.send(start).await?;
    let mut stdin = with_stdin.then(stdio::read_stdin);
    loop {
        let next = tokio::select! {
            biased;
            Some(notice) = notices.recv() => notice,
            piece = next_piece(&mut stdin) => piece.map_or(Ask::StdinEof(true), Ask::Stdin),
        };
        requests.send(next).await?;
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
async fn listen(mut signals: Signals, notices: mpsc::Sender<Ask>, tty: bool, on_terminal: bool) -> End {
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
                Ask::Signal(name.to_owned())
            }
            Notice::Resized => match terminal::size() {
                Some(size) if tty => Ask::Resize(size),
                _ => continue,
            },
        };
        // Too many at once, or none to hear them: the program has ended and its output is still on its way.
        let _ = notices.try_send(notice);
    }
}
