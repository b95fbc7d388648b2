//! The user's terminal: raw while a program in a VM uses it, and given back whatever happens.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};

use rustix::stdio::{stdin, stdout};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::proto::Resize;

/// As it was, while it is raw.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// True where stdin is a terminal.
pub fn is_typed_on() -> bool {
    std::io::stdin().is_terminal()
}

/// Puts the terminal into raw mode, output included: the guest's terminal has turned LF into CR LF already.
pub fn make_raw() {
    // A panic must not leave it raw: this process aborts then, and nobody else would.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        restore();
        report(info);
    }));
    let Ok(before) = tcgetattr(stdin()) else { return };
    let mut raw = before.clone();
    raw.make_raw();
    // Kept first, so that a signal between the two finds it.
    *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
    let _ = tcsetattr(stdin(), OptionalActions::Now, &raw); // a terminal that has just gone
}

/// Gives the terminal back; nothing where it is not ours. Every way out of this process comes by here.
pub fn restore() {
    if let Some(before) = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take() {
        let _ = tcsetattr(stdin(), OptionalActions::Now, &before); // a terminal that has gone needs nothing
    }
}

/// Of the terminal behind stdout; None where there is none.
pub fn size() -> Option<Resize> {
    let size = tcgetwinsize(stdout()).ok()?;
    Some(Resize {
        columns: size.ws_col.into(),
        rows: size.ws_row.into(),
    })
}
