//! Makes taps, ports of bridges or one cable with a link, and becomes a program that has each as a descriptor: a VMM in a jail opens no device and is
//! in no namespace that has a network.
//!
//! `kiln-tap [--enter PID] [--nft PROGRAM --rules FILE] [--tc PROGRAM] (--tap NAME (--bridge NAME|--redirect LINK) --mtu N [--isolated] [--bare] [--answered 4|6|46] --at FD)... -- PROGRAM...`
//!
//! The rules are loaded when the taps are there, and before anybody can send a frame into one. With `--enter` a child makes them in the user and network namespace of that process, and comes back with the descriptors
//! alone. Whoever has started this knows the program by the same pid. Nothing is left of what could not be done whole: exit 125
//! with one line on stderr.

mod elsewhere;
mod enter;
mod link;
mod options;
mod redirect;
mod tap;

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

use options::{End, Options, Rules, TapOptions};

const FAILED: u8 = 125;

fn main() -> ExitCode {
    let Err(why) = run();
    eprintln!("kiln-tap: {}", why.replace('\n', " "));
    ExitCode::from(FAILED)
}

fn run() -> Result<Infallible, String> {
    let Options {
        enter,
        rules,
        tc,
        taps,
        program,
    } = options::parse(std::env::args_os().skip(1))?;
    if let Some(tap) = taps.iter().find(|tap| is_open(tap.at)) {
        return Err(format!("descriptor {} is taken", tap.at));
    }
    let files: Vec<OwnedFd> = match enter {
        None => make(&taps, rules, tc)?.into_iter().map(OwnedFd::from).collect(),
        Some(pid) => elsewhere::files_of(|| {
            enter::enter(pid).map_err(|error| format!("enter the namespaces of process {pid}: {error}"))?;
            make(&taps, rules, tc)
        })?,
    };
    if files.len() != taps.len() {
        return Err("not every tap came with its descriptor".into());
    }
    place(&files, &taps).map_err(|error| format!("hand the taps on: {error}"))?;
    let error = Command::new(&program[0]).args(&program[1..]).exec();
    Err(format!("{}: {error}", program[0].display()))
}

fn make(taps: &[TapOptions], rules: Option<Rules>, tc: Option<String>) -> Result<Vec<File>, String> {
    let one = |tap: &TapOptions| {
        let file = tap::open(&tap.name, !tap.is_bare)?;
        link::set_up(tap)?;
        if let (End::Redirect(link), Some(tc)) = (&tap.end, &tc) {
            redirect::join(tc, &tap.name, link, tap.answered)?;
        }
        Ok(file)
    };
    let files = taps
        .iter()
        .map(|tap| one(tap).map_err(|error: io::Error| format!("make the tap {}: {error}", tap.name)))
        .collect::<Result<_, _>>()?;
    rules.map_or(Ok(()), |rules| load(&rules))?;
    Ok(files)
}

fn load(Rules { nft, file }: &Rules) -> Result<(), String> {
    let output = Command::new(nft).args(["-f", file]).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{nft}: {error}"))?;
    let words = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "load {file} by nft: {}: {}",
        output.status,
        words.lines().next().unwrap_or_default()
    ))
}

fn is_open(fd: i32) -> bool {
    // SAFETY: only asked about.
    unsafe { libc::fcntl(fd, libc::F_GETFD) != -1 }
}

/// Each at its number, and left open on exec. First all beyond those numbers: one may have come at that of another.
fn place(files: &[OwnedFd], taps: &[TapOptions]) -> io::Result<()> {
    let beyond = taps.iter().map(|tap| tap.at).max().unwrap_or(0) + 1;
    let high: Vec<OwnedFd> = files
        .iter()
        .map(|file| rustix::io::fcntl_dupfd_cloexec(file, beyond))
        .collect::<Result<_, _>>()?;
    for (file, tap) in high.iter().zip(taps) {
        // SAFETY: what is at the number is not open, or one of `files`, which are used no more and closed by the exec only.
        if unsafe { libc::dup2(file.as_raw_fd(), tap.at) } != tap.at {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
