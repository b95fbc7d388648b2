//! `kiln run`: `src/cli/verbs/run.ts` and `src/cli/run-flags.ts`.

use super::words::{World, owned, variable};
use crate::flags::Split;
use crate::proto::{CreateVmRequest, VmConfig};

/// Transports of images on disk: their paths are our working directory's, not kilnd's.
const ON_DISK: [&str; 3] = ["oci:", "oci-archive:", "docker-archive:"];
/// Digits of a number that is surely the same to everybody.
const MAX_DIGITS: usize = 6;

pub fn plan(given: &Split, world: &World) -> Option<CreateVmRequest> {
    let [image, command @ ..] = given.operands else {
        return None;
    };
    if ON_DISK.iter().any(|transport| image.starts_with(transport)) {
        return None;
    }
    let mut request = CreateVmRequest {
        pull: "missing".to_owned(),
        // Progress is for the TypeScript CLI to show.
        ready_only: true,
        config: None,
    };
    let mut config = VmConfig {
        image: (*image).to_owned(),
        command: owned(command),
        ..Default::default()
    };
    let mut networks = Vec::new();
    for &(flag, value) in &given.flags {
        match flag.name {
            "pull" if value == "always" => return None,
            "pull" => value.clone_into(&mut request.pull),
            // Two names of the same.
            "net" | "network" => networks.push(value),
            // What is ready has no progress to show.
            "progress" | "quiet" => {}
            name => take_program(name, value, &mut config, world)
                .or_else(|| take_machine(name, value, &mut config))?,
        }
    }
    match networks[..] {
        [] => {}
        // What else may be said of networks takes some reading.
        [mode @ ("user" | "none")] => mode.clone_into(&mut config.network),
        _ => return None,
    }
    request.config = Some(config);
    Some(request)
}

/// What runs in the VM. None for a flag of the table that this program was never taught, or does not care for.
fn take_program(name: &str, value: &str, config: &mut VmConfig, world: &World) -> Option<()> {
    match name {
        "entrypoint" => {
            config.entrypoint_set = true;
            config.entrypoint = if value.is_empty() { vec![] } else { owned(&[value]) };
        }
        "env" => config.env.push(variable(value, world)?),
        "init" => value.clone_into(&mut config.init),
        "interactive" => config.open_stdin = true,
        "label" => {
            let (name, value) = value.split_once('=').unwrap_or((value, ""));
            if name.is_empty() {
                return None;
            }
            config.labels.insert(name.to_owned(), value.to_owned());
        }
        "rm" => config.auto_remove = true,
        "stop-signal" => value.clone_into(&mut config.stop_signal),
        "user" => value.clone_into(&mut config.user),
        "workdir" => value.clone_into(&mut config.workdir),
        _ => return None,
    }
    Some(())
}

/// The machine itself.
fn take_machine(name: &str, value: &str, config: &mut VmConfig) -> Option<()> {
    match name {
        "cpus" => config.cpus = f64::from(number(value).filter(|&cpus| cpus > 0)?),
        "disk" => config.disk_bytes = size(value)?,
        "dns" => config.dns.push(value.to_owned()),
        "hostname" => value.clone_into(&mut config.hostname),
        "kernel" => value.clone_into(&mut config.kernel),
        "kernel-args" => config.kernel_args.extend(words(value)?),
        "memory" => config.memory_bytes = size(value)?,
        "name" => value.clone_into(&mut config.name),
        "platform" => value.clone_into(&mut config.platform),
        "publish-all" => config.publish_all = true,
        "vmm" => value.clone_into(&mut config.vmm),
        _ => return None,
    }
    Some(())
}

/// Digits and no more.
fn number(text: &str) -> Option<u32> {
    let plain = text.len() <= MAX_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

/// "512m", "2g": digits and one letter. `src/base/units.ts` reads more.
fn size(text: &str) -> Option<u64> {
    let at = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(at);
    let factor: u64 = match unit {
        "" => 1,
        "k" | "K" => 1 << 10,
        "m" | "M" => 1 << 20,
        "g" | "G" => 1 << 30,
        _ => return None,
    };
    Some(u64::from(number(digits)?) * factor)
}

/// Words between plain spaces.
fn words(text: &str) -> Option<impl Iterator<Item = String>> {
    let plain = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    plain.then(|| text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned))
}
