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
mod words;

pub use self::words::World;

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
