//! Where kilnd listens, as `src/sdk/host.ts` and `src/base/paths.ts` have it. Pure.

use std::ffi::OsString;

/// Longest path that connect(2) takes, without its final NUL.
const MAX_SOCKET_PATH: usize = 107;

/// A kilnd to talk to.
#[derive(Debug, PartialEq, Eq)]
pub struct Host {
    pub socket: String,
    /// Nobody named the socket: only then may a client start kilnd itself.
    pub is_default: bool,
}

/// The socket of `--host`, of KILN_HOST, or of this user's (or KILN_ROOT's) kilnd, in that order. None where a name is
/// wrong, or where the TypeScript CLI might read it otherwise than the kernel. `runtime` is a user's runtime directory
/// where XDG_RUNTIME_DIR does not name it.
pub fn socket(
    host: Option<&str>,
    env: &dyn Fn(&str) -> Option<OsString>,
    uid: u32,
    runtime: &dyn Fn(u32) -> Option<String>,
) -> Option<Host> {
    let text = |name| match env(name) {
        None => Some(None),
        Some(value) => value.into_string().ok().map(Some),
    };
    let named = match host {
        Some(host) => Some(host.to_owned()),
        None => text("KILN_HOST")?.filter(|host| !host.is_empty()),
    };
    let is_default = named.is_none();
    let path = if let Some(named) = named {
        let path = named.strip_prefix("unix://")?;
        // More than the root itself.
        (path.starts_with('/') && path.len() > 1).then(|| path.to_owned())?
    } else if let Some(root) = text("KILN_ROOT")?.filter(|root| !root.is_empty()) {
        format!("{root}/run/kiln.sock")
    } else if uid == 0 {
        "/run/kiln/kiln.sock".to_owned()
    } else {
        // What is not absolute is to be ignored.
        let absolute = |name| text(name).map(|value| value.filter(|path| path.starts_with('/')));
        if let Some(run) = absolute("XDG_RUNTIME_DIR")?.or_else(|| runtime(uid)) {
            format!("{run}/kiln/kiln.sock")
        } else if let Some(state) = absolute("XDG_STATE_HOME")? {
            format!("{state}/kiln/run/kiln.sock")
        } else {
            format!("{}/.local/state/kiln/run/kiln.sock", text("HOME")??)
        }
    };
    // That CLI resolves ".." by its text, the kernel by the links on the way.
    let plain = path.len() <= MAX_SOCKET_PATH
        && path.split('/').all(|part| part != "..")
        && !path.contains(['\0', '\n', '\r', '\u{2028}', '\u{2029}']);
    plain.then_some(Host {
        socket: path,
        is_default,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(host: Option<&str>, env: &[(&str, &str)], uid: u32) -> Option<String> {
        found_with(host, env, uid, None)
    }

    fn found_with(
        host: Option<&str>,
        env: &[(&str, &str)],
        uid: u32,
        runtime: Option<&str>,
    ) -> Option<String> {
        let lookup = |name: &str| {
            env.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| OsString::from(value))
        };
        let found = socket(host, &lookup, uid, &|_| runtime.map(str::to_owned));
        let named = host.is_some()
            || env
                .iter()
                .any(|(key, value)| *key == "KILN_HOST" && !value.is_empty());
        assert!(found.as_ref().is_none_or(|host| host.is_default != named));
        found.map(|host| host.socket)
    }

    #[test]
    fn takes_the_flag_then_kiln_host_then_kiln_root_then_the_users_own() {
        let env = [
            ("KILN_HOST", "unix:///h"),
            ("KILN_ROOT", "/r"),
            ("XDG_RUNTIME_DIR", "/x"),
        ];
        assert_eq!(found(Some("unix:///f"), &env, 0).as_deref(), Some("/f"));
        assert_eq!(found(None, &env, 0).as_deref(), Some("/h"));
        assert_eq!(found(None, &env[1..], 0).as_deref(), Some("/r/run/kiln.sock"));
        assert_eq!(found(None, &env[2..], 1000).as_deref(), Some("/x/kiln/kiln.sock"));
        assert_eq!(found(None, &env[2..], 0).as_deref(), Some("/run/kiln/kiln.sock"));
    }

    #[test]
    fn takes_no_name_below_tmp_where_a_user_has_no_runtime_directory() {
        let home = [("HOME", "/home/u"), ("XDG_RUNTIME_DIR", "")];
        assert_eq!(
            found_with(None, &home, 1000, Some("/run/user/1000")).as_deref(),
            Some("/run/user/1000/kiln/kiln.sock")
        );
        assert_eq!(
            found(None, &home, 1000).as_deref(),
            Some("/home/u/.local/state/kiln/run/kiln.sock")
        );
        let state = [("XDG_STATE_HOME", "/s"), ("XDG_RUNTIME_DIR", "relative")];
        assert_eq!(
            found(None, &state, 1000).as_deref(),
            Some("/s/kiln/run/kiln.sock")
        );
        assert_eq!(found(None, &[], 1000), None);
    }

    #[test]
    fn takes_an_empty_variable_for_none() {
        let env = [("KILN_HOST", ""), ("KILN_ROOT", "")];
        assert_eq!(found(None, &env, 0).as_deref(), Some("/run/kiln/kiln.sock"));
    }

    #[test]
    fn leaves_every_name_that_is_not_plain_to_the_typescript_cli() {
        let long = format!("unix:///{}", "x".repeat(107));
        for host in [
            "",
            "/run/kiln.sock",
            "tcp://h:1",
            "unix://h",
            "unix:///",
            "unix:///a/../b",
            "unix:///a\nb",
            &long,
        ] {
            assert_eq!(found(Some(host), &[], 0), None, "{host}");
        }
        assert_eq!(found(None, &[("KILN_ROOT", "a/../b")], 0), None);
        assert_eq!(found(None, &[("KILN_HOST", "nonsense")], 0), None);
    }
}
