//! Answers guests of one link that ask for their addresses (DHCPv4, DHCPv6, router solicitations) with what a file says of
//! each, and advertises their router to them from time to time. Leases are not kept: an address is whose the file says.
//!
//! `kiln-lease --file FILE --on LINK --with LINK`: answers on LINK whenever there is one of that name, as the file has it then;
//! ends once the other one has gone. It says "answering" on stderr when it has begun; exit 0 at its end, else 1 with a line there.

mod advert;
mod answer;
mod dhcp4;
mod dhcp6;
mod frame;
mod names;
mod plan;
mod sockets;

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use plan::Plan;
use sockets::{Frames, Links};

/// Between two advertisements that nobody asked for: a guest forgets its router after three times that, and more.
const ADVERTISE: Duration = Duration::from_secs(300);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("kiln-lease: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let options = Options::parse(std::env::args().skip(1))
        .ok_or_else(|| invalid("--file FILE, --on LINK and --with LINK are wanted"))?;
    let (links, mut frames) = (Links::open()?, Frames::open()?);
    sockets::drop_rights()?;
    let mut file = PlanFile::read(options.file)?;
    eprintln!("answering");
    let mut buffer = sockets::buffer();
    let mut due = Instant::now() + ADVERTISE;
    loop {
        if sockets::index(&options.with) == 0 {
            return Ok(());
        }
        frames.follow(&options.on)?;
        let patience = due.saturating_duration_since(Instant::now()).as_millis();
        let [is_frame, is_link] = sockets::wait([frames.fd(), links.fd()], patience as i32 + 1)?;
        if is_link {
            links.drain();
        }
        if is_frame
            && let Some(asked) = frames.receive(&mut buffer)
            && let Some(reply) = answer::answer(asked, file.now())
        {
            frames.send(&reply);
        }
        if Instant::now() >= due {
            due = Instant::now() + ADVERTISE;
            let Plan { network, cards } = file.now();
            for (mac, card) in cards {
                if let Some(frame) = answer::advertise(network, *mac, card) {
                    frames.send(&frame);
                }
            }
        }
    }
}

struct Options {
    file: PathBuf,
    on: CString,
    with: CString,
}

impl Options {
    fn parse(words: impl Iterator<Item = String>) -> Option<Self> {
        let words: Vec<String> = words.collect();
        let ["--file", file, "--on", on, "--with", with] =
            words.iter().map(String::as_str).collect::<Vec<_>>()[..]
        else {
            return None;
        };
        let link = |name: &str| (1..16).contains(&name.len()).then(|| CString::new(name).ok())?;
        Some(Self {
            file: file.into(),
            on: link(on)?,
            with: link(with)?,
        })
    }
}

/// Replaced by a rename whenever something changes: read again when it is another one.
struct PlanFile {
    path: PathBuf,
    seen: Option<(u64, i64, i64)>,
    plan: Plan,
}

impl PlanFile {
    fn read(path: PathBuf) -> io::Result<Self> {
        let seen = version(&path);
        let plan = parsed(&path)?;
        Ok(Self { path, seen, plan })
    }

    /// Where it can't be read it is as it was.
    fn now(&mut self) -> &Plan {
        let seen = version(&self.path);
        if seen != self.seen
            && let Ok(plan) = parsed(&self.path)
        {
            self.plan = plan;
            self.seen = seen;
        }
        &self.plan
    }
}

fn version(path: &Path) -> Option<(u64, i64, i64)> {
    let found = fs::metadata(path).ok()?;
    Some((found.ino(), found.mtime(), found.mtime_nsec()))
}

fn parsed(path: &Path) -> io::Result<Plan> {
    plan::parse(&fs::read_to_string(path)?).ok_or_else(|| invalid("the file is not as kilnd writes it"))
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}
