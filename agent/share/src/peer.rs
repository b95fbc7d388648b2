//! Where connections come from: the VMM listens and the server connects (QEMU), or it listens for the VMM (Firecracker).

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::arguments::Way;
use crate::connection::serve;
use crate::node::link_of;
use crate::state::State;

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// A socket on which nobody listened for so long is a dead VMM's: nobody ever will again.
const GIVE_UP: Duration = Duration::from_secs(60);

pub enum Peer {
    Connect(OwnedFd),
    Listen(UnixListener),
}

impl Peer {
    /// Descriptors that this process was started with.
    pub fn new(way: &Way, adopt: impl Fn(i32) -> io::Result<OwnedFd>) -> io::Result<Self> {
        Ok(match way {
            Way::Connect(fd) => Self::Connect(adopt(*fd)?),
            Way::Listen(fd) => {
                let listener = UnixListener::from(adopt(*fd)?);
                listener.set_nonblocking(true)?;
                Self::Listen(listener)
            }
        })
    }

    /// Serves one connection after another. Err: there will be none any more.
    pub fn serve_all(&self, state: &mut State) -> io::Result<()> {
        match self {
            Self::Connect(socket) => connect_again_and_again(socket, state),
            Self::Listen(listener) => listen(listener, state),
        }
    }
}

fn connect_again_and_again(socket: &OwnedFd, state: &mut State) -> io::Result<()> {
    let mut pause = FIRST_PAUSE;
    let mut last = Instant::now();
    loop {
        match UnixStream::connect(link_of(socket)) {
            Ok(stream) => {
                // Where nobody answers, it is not asked faster and faster.
                if serve(stream, state, None) {
                    pause = FIRST_PAUSE;
                }
                last = Instant::now();
            }
            Err(error) if last.elapsed() > GIVE_UP => return Err(error),
            Err(_) => {}
        }
        sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn listen(listener: &UnixListener, state: &mut State) -> io::Result<()> {
    loop {
        wait(listener)?;
        let mut newest = None;
        while let Ok((stream, _)) = listener.accept() {
            newest = Some(stream);
        }
        if let Some(stream) = newest {
            serve(stream, state, Some(listener.as_fd()));
        }
    }
}

fn wait(listener: &UnixListener) -> io::Result<()> {
    let mut fds = [rustix::event::PollFd::new(listener, rustix::event::PollFlags::IN)];
    match rustix::event::poll(&mut fds, None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
