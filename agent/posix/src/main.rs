//! Test tool: tries in a directory what programs count on of a file system, and prints one line for each: `ok NAME`, or
//! `no NAME: what happened`. A second word: those cases alone whose name holds it. Beside that, `--watch` and `--mapped` (watch.rs), `--read-only` (refusals.rs), `--hold` and `--count` (locks.rs). Run on the host's own disk it says ok to all; what it says elsewhere is held against that. Static
//! and without needs, so that it runs in any guest.

mod attributes;
mod calls;
mod clocks;
mod data;
mod kinds;
mod lists;
mod locks;
mod mapped;
mod meta;
mod names;
mod ranges;
mod refusals;
mod rights;
mod sizes;
mod sys;
mod watch;

use std::ffi::OsString;
use std::path::Path;

/// Err: what happened instead.
pub type Outcome = Result<(), String>;
/// A name for people, and what is tried in an empty directory of its own.
pub type Case = (&'static str, fn(&Path) -> Outcome);

fn main() {
    let Some(root) = std::env::args_os().nth(1) else {
        // Ourselves, run from the directory under test.
        std::process::exit(42);
    };
    if root == "--wait" {
        return wait();
    }
    if let Some(outcome) = other_task(&root) {
        if let Err(why) = &outcome {
            eprintln!("{why}");
        }
        std::process::exit(outcome.is_err().into());
    }
    let root = Path::new(&root).join(format!("posix-{}", std::process::id()));
    let groups = [
        data::CASES,
        names::CASES,
        meta::CASES,
        locks::CASES,
        lists::CASES,
        refusals::CASES,
        rights::CASES,
        kinds::CASES,
        clocks::CASES,
        sizes::CASES,
        mapped::CASES,
        ranges::CASES,
        attributes::CASES,
    ];
    let only = std::env::args().nth(2).unwrap_or_default();
    for (name, case) in groups
        .into_iter()
        .flatten()
        .filter(|(name, _)| name.contains(&only))
    {
        let place = root.join(name.replace(' ', "-"));
        let outcome = std::fs::create_dir_all(&place)
            .map_err(|error| format!("no directory: {error}"))
            .and_then(|()| case(&place));
        match outcome {
            Ok(()) => println!("ok {name}"),
            Err(why) => println!("no {name}: {why}"),
        }
    }
    if let Err(error) = std::fs::remove_dir_all(&root) {
        println!("no removal of all: {error}");
    }
}

/// What is asked for by an option in the directory's place.
fn other_task(option: &std::ffi::OsStr) -> Option<Outcome> {
    match option.to_str() {
        Some("--watch") => Some(watch::watch(
            &std::env::args_os().skip(2).collect::<Vec<OsString>>(),
        )),
        Some("--mapped") => Some(watch::mapped(Path::new(
            &std::env::args_os().nth(2).unwrap_or_default(),
        ))),
        Some("--hold") => Some(locks::hold(Path::new(
            &std::env::args_os().nth(2).unwrap_or_default(),
        ))),
        Some("--count") => Some(locks::count(
            Path::new(&std::env::args_os().nth(2).unwrap_or_default()),
            std::env::args()
                .nth(3)
                .and_then(|times| times.parse().ok())
                .unwrap_or(0),
        )),
        Some("--read-only") => Some(refusals::read_only(Path::new(
            &std::env::args_os().nth(2).unwrap_or_default(),
        ))),
        _ => None,
    }
}

/// Ourselves again: says that we run, and goes on until nobody speaks to us any more.
fn wait() {
    println!("running");
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
}

/// Fails with what was found, where it is not what it should be.
pub fn same<T: PartialEq + std::fmt::Debug>(found: T, wanted: T) -> Outcome {
    if found == wanted {
        Ok(())
    } else {
        Err(format!("{found:?} instead of {wanted:?}"))
    }
}

/// Fails where the call went well, or failed otherwise.
pub fn refused<T>(outcome: std::io::Result<T>, errno: i32) -> Outcome {
    match outcome {
        Ok(_) => Err("it went well".into()),
        Err(error) => same(error.raw_os_error(), Some(errno)),
    }
}

/// Any failure of the system as text.
pub trait Told<T> {
    fn told(self, what: &str) -> Result<T, String>;
}

impl<T> Told<T> for std::io::Result<T> {
    fn told(self, what: &str) -> Result<T, String> {
        self.map_err(|error| format!("{what}: {error}"))
    }
}
