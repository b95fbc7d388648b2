//! Arguments and environment to one plain verb, or to None: whatever is not plain is the TypeScript CLI's. Pure.

use std::ffi::OsString;

use crate::flags::{self, Split, split};
use crate::host::{self, Host};
use crate::proto::{CreateVmRequest, ExecStart};
use crate::trust;

mod exec;
mod run;
#[cfg(test)]
mod tests;

/// What of the process a plan may look at.
pub struct World<'a> {
    pub env: &'a dyn Fn(&str) -> Option<OsString>,
    pub uid: u32,
    /// Stdin is a terminal.
    pub terminal: bool,
}

/// A command line, understood.
#[derive(Debug, PartialEq)]
pub struct Plan {
    /// kilnd's.
    pub host: Host,
    /// How many of the arguments stand before the verb.
    pub globals: usize,
    pub verb: Verb,
}

/// What is asked of kilnd.
#[derive(Debug, PartialEq)]
pub enum Verb {
    Exec(ExecStart),
    Run(Box<CreateVmRequest>),
}

/// What the arguments ask for; None where they are not plain.
pub fn plan(args: &[OsString], world: &World) -> Option<Plan> {
    let args: Vec<&str> = args.iter().map(|arg| arg.to_str()).collect::<Option<_>>()?;
    let globals = split(flags::GLOBAL, &args)?;
    let (&verb, rest) = globals.operands.split_first()?;
    let verb = match verb {
        "exec" => Verb::Exec(exec::plan(&split(flags::EXEC, rest)?, world)?),
        "run" => Verb::Run(Box::new(run::plan(&split(flags::RUN, rest)?, world)?)),
        _ => return None,
    };
    Some(Plan {
        host: host::socket(
            take_host(&globals)?,
            world.env,
            world.uid,
            &trust::runtime_directory,
        )?,
        globals: args.len() - globals.operands.len(),
        verb,
    })
}

fn take_host<'a>(given: &Split<'a>) -> Option<Option<&'a str>> {
    let mut host = None;
    for &(flag, value) in &given.flags {
        match flag.name {
            "host" => host = Some(value),
            // For words, which this program has none of.
            "debug" => {}
            _ => return None,
        }
    }
    Some(host)
}

/// `NAME=VALUE` as it is, `NAME` with our value; alone where we have none: that takes the image's away.
fn variable(text: &str, world: &World) -> Option<String> {
    let (name, value) = text
        .split_once('=')
        .map_or((text, None), |(name, value)| (name, Some(value)));
    // What is a space is not the same to everybody beyond ASCII.
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    if value.is_some() {
        return Some(text.to_owned());
    }
    match (world.env)(name) {
        None => Some(name.to_owned()),
        // One that is not UTF-8 is the TypeScript CLI's to refuse.
        Some(ours) => Some(format!("{name}={}", ours.to_str()?)),
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}
