//! Kernel settings by name.

use std::collections::HashMap;
use std::fs;

use crate::grpc::status::{Result, Status};

/// What Docker sets for every container: programs that are not root may use ports below 1024, and ping.
const DEFAULTS: [(&str, &str); 2] = [
    ("net.ipv4.ip_unprivileged_port_start", "0"),
    ("net.ipv4.ping_group_range", "0 2147483647"),
];

/// App mode's defaults. A kernel without one of them goes without.
pub fn apply_defaults() {
    for (name, value) in DEFAULTS {
        if let Some(path) = path_of(name) {
            let _ = fs::write(path, value);
        }
    }
}

/// In the order of their names: the same outcome each time, where one changes another.
pub fn apply(settings: &HashMap<String, String>) -> Result<()> {
    let mut sorted: Vec<_> = settings.iter().collect();
    sorted.sort();
    for (name, value) in sorted {
        let path = path_of(name)
            .ok_or_else(|| Status::invalid(format!("\"{}\" is no kernel setting", name.escape_debug())))?;
        fs::write(path, value).map_err(|error| {
            Status::from_io(format_args!("set {name} to {}", value.escape_debug()), error)
        })?;
    }
    Ok(())
}

/// "net.ipv4.ip_forward" or "net/ipv4/conf/eth0.1/forwarding": slashes where there are any, else dots.
fn path_of(name: &str) -> Option<String> {
    let separator = if name.contains('/') { '/' } else { '.' };
    let parts: Vec<&str> = name.split(separator).collect();
    let plain = |part: &&str| {
        !part.is_empty()
            && *part != "."
            && *part != ".."
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':'))
    };
    parts
        .iter()
        .all(plain)
        .then(|| format!("/proc/sys/{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_file_of_a_setting() {
        assert_eq!(
            path_of("net.ipv4.ip_forward").as_deref(),
            Some("/proc/sys/net/ipv4/ip_forward")
        );
        assert_eq!(
            path_of("net/ipv4/conf/eth0.1/x").as_deref(),
            Some("/proc/sys/net/ipv4/conf/eth0.1/x")
        );
    }

    #[test]
    fn never_leaves_the_directory() {
        for bad in [
            "",
            "..",
            "../../etc/passwd",
            "/etc/passwd",
            "a..b",
            "a/../b",
            "a b",
            "a\0",
        ] {
            assert_eq!(path_of(bad), None, "{bad:?}");
        }
    }
}
