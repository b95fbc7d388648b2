//! What a process's stdin, stdout and stderr are: pipes, a terminal, or nothing.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use rustix::pipe::{PipeFlags, pipe_with};

use super::io::FdStream;
use super::plan::{Plan, clamp};
use crate::proto::{Stream, WindowSize};

/// Our ends.
pub enum Stdio {
    Terminal(FdStream),
    Pipes {
        stdin: Option<FdStream>,
        stdout: FdStream,
        stderr: FdStream,
    },
    Null,
}

/// Our ends, by what each is for: a terminal is all three.
#[derive(Default)]
pub struct Streams {
    pub input: Option<Rc<FdStream>>,
    /// None at all where nobody asked to hear of the process.
    pub outputs: Vec<(Stream, Rc<FdStream>)>,
    /// To be held to the end: a terminal whose last holder goes hangs up on a process that is about to end.
    pub terminal: Option<Rc<FdStream>>,
}

/// VEOF of a terminal in its default settings.
pub const END_OF_TRANSMISSION: u8 = 4;

impl From<Stdio> for Streams {
    fn from(stdio: Stdio) -> Self {
        match stdio {
            Stdio::Null => Self::default(),
            Stdio::Terminal(both) => {
                let both = Rc::new(both);
                Self {
                    input: Some(both.clone()),
                    outputs: vec![(Stream::Stdout, both.clone())],
                    terminal: Some(both),
                }
            }
            Stdio::Pipes {
                stdin,
                stdout,
                stderr,
            } => Self {
                input: stdin.map(Rc::new),
                outputs: vec![
                    (Stream::Stdout, Rc::new(stdout)),
                    (Stream::Stderr, Rc::new(stderr)),
                ],
                terminal: None,
            },
        }
    }
}

/// The child's ends and ours.
pub struct Wiring {
    pub child: [OwnedFd; 3],
    pub ours: Stdio,
}

/// Makes what a plan asks for: nothing, a terminal, or pipes.
pub fn wire(plan: &Plan) -> io::Result<Wiring> {
    let owner = rustix::fs::Uid::from_raw(plan.identity.uid);
    if plan.detach {
        let null = open_null()?;
        let child = [null.try_clone()?, null.try_clone()?, null];
        return Ok(Wiring {
            child,
            ours: Stdio::Null,
        });
    }
    if let Some((columns, rows)) = plan.tty {
        let (master, slave) = open_terminal(columns, rows)?;
        // So that the program may open its own terminal by name. Fails only where we are not root (tests).
        let _ = rustix::fs::fchown(&slave, Some(owner), None);
        let child = [slave.try_clone()?, slave.try_clone()?, slave];
        return Ok(Wiring {
            child,
            ours: Stdio::Terminal(FdStream::new(master)?),
        });
    }
    let (stdin_child, stdin) = if plan.stdin {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        (reader, Some(FdStream::new(writer)?))
    } else {
        (open_null()?, None)
    };
    let (stdout, stdout_child) = pipe_with(PipeFlags::CLOEXEC)?;
    let (stderr, stderr_child) = pipe_with(PipeFlags::CLOEXEC)?;
    // Images log to /dev/stdout: opening that by name asks for the pipe's permission.
    for fd in [&stdout_child, &stderr_child] {
        let _ = rustix::fs::fchown(fd, Some(owner), None);
    }
    if plan.stdin {
        let _ = rustix::fs::fchown(&stdin_child, Some(owner), None);
    }
    let ours = Stdio::Pipes {
        stdin,
        stdout: FdStream::new(stdout)?,
        stderr: FdStream::new(stderr)?,
    };
    Ok(Wiring {
        child: [stdin_child, stdout_child, stderr_child],
        ours,
    })
}

fn open_null() -> io::Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    Ok(rustix::fs::open(
        "/dev/null",
        OFlags::RDWR | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

fn open_terminal(columns: u16, rows: u16) -> io::Result<(OwnedFd, OwnedFd)> {
    use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags)?;
    unlockpt(&master)?;
    let slave = ioctl_tiocgptpeer(&master, flags)?;
    if columns > 0 && rows > 0 {
        set_size(&master, columns, rows)?;
    }
    Ok((master, slave))
}

/// Sets a terminal's size; its foreground process group is told by the kernel.
pub fn resize(terminal: &FdStream, window: WindowSize) -> io::Result<()> {
    set_size(terminal, clamp(window.columns), clamp(window.rows))
}

fn set_size(terminal: impl AsFd, columns: u16, rows: u16) -> io::Result<()> {
    let size = rustix::termios::Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    Ok(rustix::termios::tcsetwinsize(terminal, size)?)
}
