//! Arguments and environment to one exec, or to None: whatever is not plain is the TypeScript CLI's. Pure.

use std::ffi::OsString;

use crate::flags::{self, Split, split};
use crate::host;
use crate::proto::ExecConfig;

/// What of the process a plan may look at.
pub struct World<'a> {
    pub env: &'a dyn Fn(&str) -> Option<OsString>,
    pub uid: u32,
    /// Stdin is a terminal.
    pub terminal: bool,
}

/// `kiln exec`, understood.
#[derive(Debug, PartialEq)]
pub struct Exec {
    /// kilnd's.
    pub socket: String,
    /// `--debug`: more words for a failure.
    pub debug: bool,
    pub vm: String,
    pub config: ExecConfig,
}

/// The exec that the arguments ask for; None where they are not plain.
pub fn plan(args: &[OsString], world: &World) -> Option<Exec> {
    let args: Vec<&str> = args.iter().map(|arg| arg.to_str()).collect::<Option<_>>()?;
    let globals = split(flags::GLOBAL, &args)?;
    let (&verb, rest) = globals.operands.split_first()?;
    if verb != "exec" {
        return None;
    }
    let (host, debug) = take_globals(&globals)?;
    let given = split(flags::EXEC, rest)?;
    let [vm, program @ ..] = given.operands else {
        return None;
    };
    if program.is_empty() {
        return None;
    }
    let mut config = take_flags(&given, world)?;
    if config.tty && config.stdin && !world.terminal {
        return None;
    }
    config.args = program.iter().map(|&arg| arg.to_owned()).collect();
    Some(Exec {
        socket: host::socket(host, world.env, world.uid)?,
        debug,
        vm: (*vm).to_owned(),
        config,
    })
}

fn take_globals<'a>(given: &Split<'a>) -> Option<(Option<&'a str>, bool)> {
    let mut host = None;
    let mut debug = false;
    for &(flag, value) in &given.flags {
        match flag.name {
            "host" => host = Some(value),
            "debug" => debug = true,
            _ => return None,
        }
    }
    Some((host, debug))
}

fn take_flags(given: &Split, world: &World) -> Option<ExecConfig> {
    let mut config = ExecConfig::default();
    for &(flag, value) in &given.flags {
        match flag.name {
            "interactive" => config.stdin = true,
            "tty" => config.tty = true,
            "env" => config.env.extend(variable(value, world)?),
            "user" => value.clone_into(&mut config.user),
            "workdir" => value.clone_into(&mut config.workdir),
            // A flag of the table that this program was never taught, or does not care for: -d, --env-file.
            _ => return None,
        }
    }
    Some(config)
}

/// `NAME=VALUE` as it is, `NAME` with our value, nothing where we have none.
fn variable(text: &str, world: &World) -> Option<Option<String>> {
    let (name, value) = text
        .split_once('=')
        .map_or((text, None), |(name, value)| (name, Some(value)));
    // What is a space is not the same to everybody beyond ASCII.
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    if value.is_some() {
        return Some(Some(text.to_owned()));
    }
    match (world.env)(name) {
        None => Some(None),
        Some(ours) => Some(Some(format!("{name}={}", ours.to_str()?))),
    }
}

#[cfg(test)]
mod tests;
