//! Signals that reach this process: most are the program's, SIGWINCH is its terminal's.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Passed on where there is no terminal whose keys would make them; `PROXIED` of `src/cli/session.ts`.
const PROXIED: [(&str, libc::c_int); 6] = [
    ("SIGINT", libc::SIGINT),
    ("SIGTERM", libc::SIGTERM),
    ("SIGHUP", libc::SIGHUP),
    ("SIGQUIT", libc::SIGQUIT),
    ("SIGUSR1", libc::SIGUSR1),
    ("SIGUSR2", libc::SIGUSR2),
];

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Its name and number.
    Signal(&'static str, libc::c_int),
    /// The terminal has another size.
    Resized,
}

/// All of them, from now on.
pub struct Signals(Vec<(Notice, Signal)>);

impl Signals {
    pub fn listen() -> io::Result<Self> {
        let mut all = vec![(Notice::Resized, signal(SignalKind::window_change())?)];
        for (name, number) in PROXIED {
            all.push((
                Notice::Signal(name, number),
                signal(SignalKind::from_raw(number))?,
            ));
        }
        Ok(Self(all))
    }

    /// The next one. Several of a kind may count as one, as signals do.
    pub async fn next(&mut self) -> Notice {
        poll_fn(|cx| {
            for (notice, signal) in &mut self.0 {
                if signal.poll_recv(cx).is_ready() {
                    return Poll::Ready(*notice);
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// Ends this process as the signal would have, had nobody listened.
pub fn die_of(number: libc::c_int) -> ! {
    // SAFETY: both take plain numbers; SIG_DFL is a valid disposition for every signal in the table above.
    unsafe {
        libc::signal(number, libc::SIG_DFL);
        libc::raise(number);
    }
    // Not reached, unless the signal is blocked.
    std::process::exit(128 + number);
}
