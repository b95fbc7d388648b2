//! What is to be mounted, and how that is said on the command line of the bridge's process.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use super::connection::Way;

/// A share, as the host asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareSpec {
    pub way: Way,
    /// How long requests wait for a server that is away, before they fail with EIO; None: for ever.
    pub patience: Option<Duration>,
    /// The server knows the guest's users: who asks is sent along.
    pub real_ids: bool,
    pub read_only: bool,
    /// What the host changes is told to the guest's programs.
    pub notify: bool,
}

/// What the process is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    pub spec: ShareSpec,
    pub target: PathBuf,
    /// From its start until it is mounted.
    pub within: Duration,
}

impl Task {
    pub fn to_args(&self) -> Vec<OsString> {
        let (key, way) = match &self.spec.way {
            Way::Port(name) => ("port", name.clone()),
            Way::Vsock(port) => ("vsock", port.to_string()),
        };
        let mut words = vec![
            format!("--{key}={way}"),
            format!("--within={}", self.within.as_millis()),
        ];
        words.extend(
            self.spec
                .patience
                .map(|patience| format!("--soft={}", patience.as_millis())),
        );
        words.extend(self.spec.real_ids.then(|| "--real-ids".to_owned()));
        words.extend(self.spec.read_only.then(|| "--read-only".to_owned()));
        words.extend(self.spec.notify.then(|| "--notify".to_owned()));
        words.push("--".to_owned());
        let target = self.target.clone().into_os_string();
        words.into_iter().map(OsString::from).chain([target]).collect()
    }

    /// None for words that `to_args` does not write.
    pub fn from_args(args: impl Iterator<Item = OsString>) -> Option<Self> {
        let mut args = args;
        let (mut way, mut patience, mut within) = (None, None, None);
        let (mut real_ids, mut read_only, mut notify) = (false, false, false);
        loop {
            let word = args.next()?;
            let (key, value) = split(&word)?;
            let milliseconds = || value.parse().ok().map(Duration::from_millis);
            match key {
                "--port" => way = Some(Way::Port(value.to_owned())),
                "--vsock" => way = Some(Way::Vsock(value.parse().ok()?)),
                "--within" => within = Some(milliseconds()?),
                "--soft" => patience = Some(milliseconds()?),
                "--real-ids" => real_ids = true,
                "--read-only" => read_only = true,
                "--notify" => notify = true,
                "--" => break,
                _ => return None,
            }
        }
        let spec = ShareSpec {
            way: way?,
            patience,
            real_ids,
            read_only,
            notify,
        };
        let target = PathBuf::from(args.next()?);
        Some(Self {
            spec,
            target,
            within: within?,
        })
    }
}

fn split(word: &OsStr) -> Option<(&str, &str)> {
    let text = std::str::from_utf8(word.as_bytes()).ok()?;
    Some(text.split_once('=').unwrap_or((text, "")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrives_as_it_was_sent() {
        for (way, patience, flag) in [
            (Way::Port("kiln.port.a=b".to_owned()), None, false),
            (Way::Vsock(1100), Some(Duration::from_secs(30)), true),
        ] {
            let spec = ShareSpec {
                way,
                patience,
                real_ids: flag,
                read_only: flag,
                notify: flag,
            };
            let target = PathBuf::from(OsStr::from_bytes(b"/--soft=1 \xff"));
            let task = Task {
                spec,
                target,
                within: Duration::from_secs(9),
            };
            assert_eq!(Task::from_args(task.to_args().into_iter()), Some(task));
        }
    }

    #[test]
    fn takes_nothing_else() {
        for words in [
            &["--port=a", "--", "/x"][..],
            &["--within=1", "--", "/x"],
            &["--vsock=x"],
            &["--other"],
            &[],
        ] {
            let args = words.iter().map(OsString::from);
            assert_eq!(Task::from_args(args), None, "{words:?}");
        }
    }
}
