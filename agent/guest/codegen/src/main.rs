//! Writes `src/gen/kiln.agent.v1.rs` from `proto/kiln/agent/v1/agent.proto`; with `--check`, says whether it is current.
//!
//! Messages only: the RPC layer is ours (`src/grpc`), so that one small server does all of it.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let guest = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("codegen lies in guest");
    let proto = guest.join("../../proto");
    let target = guest.join("src/gen");
    let check = std::env::args().any(|word| word == "--check");
    let fresh = tempdir(&guest.join("../target/codegen"));
    let files = protox::compile(["kiln/agent/v1/agent.proto"], [&proto]).expect("the proto compiles");
    prost_build::Config::new()
        .bytes(["."])
        .out_dir(&fresh)
        .compile_fds(files)
        .expect("the messages are written");
    let name = "kiln.agent.v1.rs";
    let text = std::fs::read(fresh.join(name)).expect("the generator made the file");
    if check {
        let current = std::fs::read(target.join(name)).unwrap_or_default();
        if current != text {
            eprintln!("{name} is stale: run `cargo run --manifest-path agent/guest/codegen/Cargo.toml`");
            return ExitCode::FAILURE;
        }
        return ExitCode::SUCCESS;
    }
    std::fs::create_dir_all(&target).expect("src/gen can be made");
    std::fs::write(target.join(name), text).expect("src/gen can be written");
    ExitCode::SUCCESS
}

fn tempdir(path: &Path) -> std::path::PathBuf {
    std::fs::create_dir_all(path).expect("the scratch directory can be made");
    path.to_path_buf()
}
