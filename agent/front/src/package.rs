//! The package that this program belongs to, and the way on to its TypeScript CLI.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::fs::{MemfdFlags, memfd_create};

use crate::outcome::Words;

/// From bin/kiln of dist/.
const MAIN: &str = "src/cli/main.js";
/// kiln itself failed, as `run` and `exec` say it.
const KILN_FAILED: i32 = 125;

/// Where the TypeScript CLI is, and what runs it.
pub struct Package {
    main: Option<PathBuf>,
    node: OsString,
}

impl Package {
    /// Looked up at once: a program that is replaced while it runs does not find itself later.
    pub fn locate(node: Option<OsString>) -> Self {
        let main = std::env::current_exe().ok().and_then(|exe| main_beside(&exe));
        Self {
            main,
            node: node
                .filter(|node| !node.is_empty())
                .unwrap_or_else(|| "node".into()),
        }
    }

    /// Becomes the TypeScript CLI with these arguments.
    pub fn hand_over(&self, args: &[OsString]) -> ! {
        let Some(main) = &self.main else {
            fail(
                "its package is not around it",
                "link this program to where it shall be; don't copy it",
            );
        };
        // The `--` is for node 20, which takes `--env-file` for its own wherever it stands.
        let error = Command::new(&self.node).arg("--").arg(main).args(args).exec();
        let node = self.node.to_string_lossy();
        fail(
            &format!("run {node}: {error}"),
            "kiln needs Node 20.19 or later on PATH, or its path in KILN_NODE",
        );
    }

    /// Lets the TypeScript CLI bring kilnd up, and say nothing.
    pub fn start_daemon(&self) -> Option<Child> {
        let mut command = Command::new(&self.node);
        command.arg("--").arg(self.main.as_ref()?).arg("__start-daemon");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.spawn().ok()
    }

    /// Becomes the TypeScript CLI for words and an exit code. `globals` are the flags before the verb.
    pub fn tell(&self, globals: &[OsString], words: &Words) -> ! {
        let mut args = globals.to_vec();
        args.extend(words.verb.iter().map(OsString::from));
        // A descriptor and not an argument, which every user of this host could read.
        let kept = keep(&words.body);
        if let Ok(file) = &kept {
            args.push(file.as_raw_fd().to_string().into());
        }
        self.hand_over(&args);
    }
}

/// The main module of the package whose dist/bin/kiln is `exe`.
fn main_beside(exe: &Path) -> Option<PathBuf> {
    let main = exe.parent()?.parent()?.join(MAIN);
    main.is_file().then_some(main)
}

/// Bytes as a file that outlives execve.
fn keep(bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create(c"kiln", MemfdFlags::empty())?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file.into())
}

fn fail(what: &str, hint: &str) -> ! {
    let _ = writeln!(io::stderr(), "kiln: {what}\nhint: {hint}"); // nobody else is left to tell
    std::process::exit(KILN_FAILED);
}
