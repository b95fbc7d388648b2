//! From what the host asks to what a fork needs: everything that may fail with a clear word, or allocate, happens here,
//! before the fork.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;

use rustix::process::{Resource, Rlimit};

use super::limits::limits;
use super::user::{self, Identity};
use crate::machine::paths;
use crate::proto::ProcessSpec;

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The program may be found in any of so many directories; a longer PATH is cut.
const MAX_CANDIDATES: usize = 256;

/// Why a program was not started: 127 for "there is none", 126 for "there is, but it cannot run" (as shells have it).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartFailure {
    pub code: i32,
    pub text: String,
}

impl StartFailure {
    pub fn cannot(text: impl Into<String>) -> Self {
        Self {
            code: 126,
            text: text.into(),
        }
    }

    pub fn not_found(text: impl Into<String>) -> Self {
        Self {
            code: 127,
            text: text.into(),
        }
    }
}

#[derive(Debug)]
pub struct Plan {
    /// Full paths to try in turn.
    pub candidates: Vec<CString>,
    pub args: Vec<CString>,
    pub env: Vec<CString>,
    pub identity: Identity,
    pub workdir: CString,
    pub limits: Vec<(Resource, Rlimit)>,
    pub tty: Option<(u16, u16)>,
    pub stdin: bool,
    pub detach: bool,
}

/// Resolves user, environment, program and limits in the root as it is now.
pub fn plan(spec: &ProcessSpec) -> Result<Plan, StartFailure> {
    let identity = user::resolve(&spec.user).map_err(StartFailure::cannot)?;
    let program = spec
        .args
        .first()
        .filter(|name| !name.is_empty())
        .ok_or_else(|| StartFailure::cannot("no program was given"))?;
    let env = environment(&spec.env, &identity.home, spec.tty);
    let path = env
        .iter()
        .find_map(|entry| entry.strip_prefix("PATH="))
        .unwrap_or(DEFAULT_PATH);
    let workdir = if spec.workdir.is_empty() {
        "/"
    } else {
        &spec.workdir
    };
    if !workdir.starts_with('/') {
        return Err(StartFailure::cannot(format!(
            "the working directory \"{workdir}\" is not absolute"
        )));
    }
    let window = spec.window.unwrap_or_default();
    Ok(Plan {
        candidates: to_c(candidates(program, path))?,
        args: to_c(spec.args.iter().cloned())?,
        workdir: one_to_c(workdir)?,
        limits: limits(&spec.rlimits).map_err(StartFailure::cannot)?,
        tty: spec.tty.then(|| (clamp(window.columns), clamp(window.rows))),
        stdin: spec.stdin,
        detach: spec.detach,
        env: to_c(env)?,
        identity,
    })
}

/// Makes the main program's working directory where it is missing, links to nothing followed, as Docker does.
pub fn make_workdir(plan: &Plan) -> Result<(), StartFailure> {
    let path = std::ffi::OsStr::from_bytes(plan.workdir.as_bytes());
    // The common case first: it may also be one that only its user may look into.
    if std::path::Path::new(path).is_dir() {
        return Ok(());
    }
    match paths::make_directory("/".as_ref(), path.as_ref()) {
        Ok(_) => Ok(()),
        Err(error) => Err(StartFailure::cannot(format!(
            "the working directory {} cannot be made: {error}",
            path.display()
        ))),
    }
}

pub(super) fn clamp(size: u32) -> u16 {
    u16::try_from(size).unwrap_or(u16::MAX)
}

/// The host's environment, plus what Docker adds where it is missing: PATH, HOME, and TERM on a terminal.
fn environment(given: &[String], home: &str, tty: bool) -> Vec<String> {
    let mut env: Vec<String> = given
        .iter()
        .filter(|entry| entry.contains('='))
        .cloned()
        .collect();
    let mut add = |name: &str, value: &str| {
        let known = env
            .iter()
            .any(|entry| entry.split_once('=').is_some_and(|(key, _)| key == name));
        if !known {
            env.push(format!("{name}={value}"));
        }
    };
    add("PATH", DEFAULT_PATH);
    add("HOME", home);
    if tty {
        add("TERM", "xterm");
    }
    env
}

fn candidates(program: &str, path: &str) -> Vec<String> {
    if program.contains('/') {
        return vec![program.to_owned()];
    }
    path.split(':')
        // An empty element is the working directory to a shell; nothing is run from there unasked.
        .filter(|directory| directory.starts_with('/'))
        .take(MAX_CANDIDATES)
        .map(|directory| format!("{}/{program}", directory.trim_end_matches('/')))
        .collect()
}

fn one_to_c(text: &str) -> Result<CString, StartFailure> {
    CString::new(text).map_err(|_| StartFailure::cannot(format!("\"{}\" holds a NUL", text.escape_debug())))
}

fn to_c(texts: impl IntoIterator<Item = String>) -> Result<Vec<CString>, StartFailure> {
    texts.into_iter().map(|text| one_to_c(&text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Rlimit as WireLimit;

    #[test]
    fn looks_a_bare_name_up_in_every_absolute_directory_of_the_path() {
        assert_eq!(
            candidates("sh", "/bin::relative:/usr/bin/"),
            ["/bin/sh", "/usr/bin/sh"]
        );
    }

    #[test]
    fn takes_a_path_as_it_is() {
        assert_eq!(candidates("./run", "/bin"), ["./run"]);
    }

    #[test]
    fn adds_what_docker_adds_and_overrides_nothing() {
        let given = ["HOME=/h".to_owned(), "junk".to_owned(), "PATHS=/x".to_owned()];
        let env = environment(&given, "/root", true);
        assert_eq!(
            env,
            [
                "HOME=/h",
                "PATHS=/x",
                &format!("PATH={DEFAULT_PATH}"),
                "TERM=xterm"
            ]
        );
        assert_eq!(
            environment(&["PATH=/p".to_owned()], "/root", false),
            ["PATH=/p", "HOME=/root"]
        );
    }

    #[test]
    fn refuses_what_cannot_be_started_with_a_word() {
        let spec = ProcessSpec::default();
        assert_eq!(
            plan(&spec).unwrap_err(),
            StartFailure::cannot("no program was given")
        );
        let spec = ProcessSpec {
            args: vec!["a\0b".to_owned()],
            ..Default::default()
        };
        assert!(plan(&spec).unwrap_err().text.contains("NUL"));
        let spec = ProcessSpec {
            args: vec!["a".to_owned()],
            workdir: "relative".to_owned(),
            ..Default::default()
        };
        assert!(plan(&spec).unwrap_err().text.contains("not absolute"));
        let rlimits = vec![WireLimit {
            name: "bogus".to_owned(),
            soft: 1,
            hard: 1,
        }];
        let spec = ProcessSpec {
            args: vec!["a".to_owned()],
            rlimits,
            ..Default::default()
        };
        assert!(plan(&spec).unwrap_err().text.contains("bogus"));
    }
}
