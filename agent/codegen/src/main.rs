//! Writes what protobuf says as Rust: the agent's messages, and those of kiln.v1 that the front end speaks. With
//! `--check`, says whether they are current.
//!
//! Messages only: the RPC layers are ours (`guest/src/grpc`, `front/src/call.rs`), each as small as its use.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use prost_types::{FileDescriptorProto, FileDescriptorSet};

/// One generated file.
struct Target {
    /// Those of one package, the one that needs the others last.
    protos: &'static [&'static str],
    /// Below agent/.
    output: &'static str,
    /// Only these messages and what they are made of; none: all.
    roots: &'static [&'static str],
    /// Of these messages only these fields: what else they hold is skipped unread.
    fields: &'static [(&'static str, &'static [&'static str])],
}

const TARGETS: [Target; 2] = [
    Target {
        protos: &[
            "kiln/agent/v1/common.proto",
            "kiln/agent/v1/mount.proto",
            "kiln/agent/v1/machine.proto",
            "kiln/agent/v1/workload.proto",
            "kiln/agent/v1/files.proto",
            "kiln/agent/v1/net.proto",
            "kiln/agent/v1/stats.proto",
            "kiln/agent/v1/agent.proto",
        ],
        output: "guest/src/gen/kiln.agent.v1.rs",
        roots: &[],
        fields: &[],
    },
    Target {
        protos: &["kiln/v1/types.proto", "kiln/v1/process.proto", "kiln/v1/vm.proto"],
        output: "front/src/gen/kiln.v1.rs",
        roots: &[
            "ExecRequest",
            "ExecResponse",
            "CreateVmRequest",
            "CreateVmResponse",
            "AttachRequest",
            "AttachResponse",
            "ErrorInfo",
        ],
        fields: &[
            ("CreateVmResponse", &["vm"]),
            ("ErrorInfo", &["reason"]),
            ("Vm", &["id", "name"]),
            ("VmStatus", &["state", "exit_code", "reason", "message", "oom_killed"]),
        ],
    },
];

fn main() -> ExitCode {
    let agent = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("codegen lies in agent");
    let check = std::env::args().any(|word| word == "--check");
    let mut code = ExitCode::SUCCESS;
    for target in &TARGETS {
        let fresh = generate(agent, target);
        let path = agent.join(target.output);
        if !check {
            std::fs::create_dir_all(path.parent().expect("it lies in src/gen")).expect("src/gen can be made");
            std::fs::write(path, fresh).expect("src/gen can be written");
        } else if std::fs::read(path).unwrap_or_default() != fresh {
            eprintln!("agent/{} is stale: run `cargo run --manifest-path agent/codegen/Cargo.toml`", target.output);
            code = ExitCode::FAILURE;
        }
    }
    code
}

fn generate(agent: &Path, target: &Target) -> Vec<u8> {
    let mut files = protox::compile(target.protos, [agent.join("../proto")]).expect("the proto compiles");
    if !target.roots.is_empty() {
        prune(&mut files, target);
    }
    let scratch = agent.join("target/codegen");
    std::fs::create_dir_all(&scratch).expect("the scratch directory can be made");
    prost_build::Config::new()
        .bytes(["."])
        .out_dir(&scratch)
        .compile_fds(files)
        .expect("the messages are written");
    let name = Path::new(target.output).file_name().expect("it is a file");
    std::fs::read(scratch.join(name)).expect("the generator made the file")
}

/// Leaves the target's files, with the messages and enums that the roots need: everything else would be dead code.
fn prune(files: &mut FileDescriptorSet, target: &Target) {
    files.file.retain(|file| target.protos.contains(&file.name()));
    for (name, fields) in target.fields {
        let message = files.file.iter_mut().flat_map(|file| &mut file.message_type).find(|message| message.name() == *name);
        message.expect("the message is there").field.retain(|field| fields.contains(&field.name()));
    }
    let wanted = reachable(&files.file, target.roots);
    for file in &mut files.file {
        file.dependency.retain(|name| target.protos.contains(&name.as_str()));
        file.service.clear();
        file.message_type.retain(|message| wanted.contains(message.name()));
        file.enum_type.retain(|each| wanted.contains(each.name()));
        // It names messages by their places, which have just changed.
        file.source_code_info = None;
    }
}

fn reachable(files: &[FileDescriptorProto], roots: &[&str]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open: Vec<String> = roots.iter().map(|&root| root.to_owned()).collect();
    while let Some(name) = open.pop() {
        for file in files {
            let prefix = format!(".{}.", file.package());
            let Some(message) = file.message_type.iter().find(|message| message.name() == name) else {
                continue;
            };
            let types = message.field.iter().filter_map(|field| field.type_name().strip_prefix(&prefix));
            open.extend(types.filter(|&name| !found.contains(name)).map(str::to_owned));
        }
        found.insert(name);
    }
    found
}
