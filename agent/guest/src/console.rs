//! The agent's own few words: to the kernel's log, where `dmesg` and the console show them.

use std::fmt::Arguments;
use std::fs::OpenOptions;
use std::io::Write;

/// Something failed that the host is not told otherwise.
pub fn error(text: Arguments<'_>) {
    write(3, text);
}

pub fn info(text: Arguments<'_>) {
    write(6, text);
}

fn write(level: u8, text: Arguments<'_>) {
    let line = format!("<{level}>kiln-agent: {text}\n");
    let kernel = OpenOptions::new().write(true).open("/dev/kmsg");
    // Where there is no kernel log there is nowhere to complain either.
    let _ = match kernel {
        Ok(mut log) if std::process::id() == 1 || is_guest() => log.write_all(line.as_bytes()),
        _ => std::io::stderr().write_all(&line.as_bytes()[3..]),
    };
}

/// On the host (tests) the kernel's log is not ours.
const fn is_guest() -> bool {
    cfg!(not(any(test, feature = "host-test")))
}
