//! `kiln exec`: `src/cli/verbs/exec.ts`.

use super::words::{World, owned, variable};
use crate::flags::Split;
use crate::proto::{ExecConfig, ExecStart};

pub fn plan(given: &Split, world: &World) -> Option<ExecStart> {
    let [vm, program @ ..] = given.operands else {
        return None;
    };
    if program.is_empty() {
        return None;
    }
    let mut config = take_flags(given, world)?;
    if config.tty && config.stdin && !world.terminal {
        return None;
    }
    config.args = owned(program);
    Some(ExecStart {
        vm: (*vm).to_owned(),
        config: Some(config),
        ..Default::default()
    })
}

fn take_flags(given: &Split, world: &World) -> Option<ExecConfig> {
    let mut config = ExecConfig::default();
    for &(flag, value) in &given.flags {
        match flag.name {
            "interactive" => config.stdin = true,
            "tty" => config.tty = true,
            "env" => config.env.push(variable(value, world)?),
            "user" => value.clone_into(&mut config.user),
            "workdir" => value.clone_into(&mut config.workdir),
            // A flag of the table that this program was never taught, or does not care for: -d, --env-file.
            _ => return None,
        }
    }
    Some(config)
}
