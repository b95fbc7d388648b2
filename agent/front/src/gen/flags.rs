// Generated from the table of verbs by `npm run gen`. Do not edit.

/// Flags before the verb.
pub const GLOBAL: &[Flag] = &[
    Flag { name: "host", short: Some('H'), kind: Kind::Text, choices: &[] },
    Flag { name: "debug", short: None, kind: Kind::Switch, choices: &[] },
    Flag { name: "version", short: Some('v'), kind: Kind::Switch, choices: &[] },
    Flag { name: "help", short: Some('h'), kind: Kind::Switch, choices: &[] },
];

/// Flags of exec.
pub const EXEC: &[Flag] = &[
    Flag { name: "detach", short: Some('d'), kind: Kind::Switch, choices: &[] },
    Flag { name: "env", short: Some('e'), kind: Kind::List, choices: &[] },
    Flag { name: "env-file", short: None, kind: Kind::List, choices: &[] },
    Flag { name: "interactive", short: Some('i'), kind: Kind::Switch, choices: &[] },
    Flag { name: "restart", short: None, kind: Kind::Text, choices: &[] },
    Flag { name: "tty", short: Some('t'), kind: Kind::Switch, choices: &[] },
    Flag { name: "user", short: Some('u'), kind: Kind::Text, choices: &[] },
    Flag { name: "workdir", short: Some('w'), kind: Kind::Text, choices: &[] },
];

/// Flags of run.
pub const RUN: &[Flag] = &[
    Flag { name: "add-host", short: None, kind: Kind::List, choices: &[] },
    Flag { name: "cidfile", short: None, kind: Kind::Text, choices: &[] },
    Flag { name: "cpus", short: None, kind: Kind::Text, choices: &[] },
    Flag { name: "disk", short: None, kind: Kind::Text, choices: &[] },
    Flag { name: "dns", short: None, kind: Kind::List, choices: &[] },
    Flag { name: "entrypoint", short: None, kind: Kind::Text, choices: &[] },
    Flag { name: "env", short: Some('e'), kind: Kind::List, choices: &[] },
    Flag { name: "env-file", short: None, kind: Kind::List, choices: &[] },
    Flag { name: "hostname", short: Some('h'), kind: Kind::Text, choices: &[] },
    Flag { name: "init", short: None, kind: Kind::Text, choices: &["auto", "app", "system"] },
    Flag { name: "interactive", short: Some('i'), kind: Kind::Switch, choices: &[] },
    Flag { name: "kernel", short: None, kind: Kind::Text, choices: &[] },
    Flag { name: "kernel-args", short: None, kind: Kind::List, choices: &[] },
    Flag { name: "label", short: Some('l'), kind: Kind::List, choices: &[] },
    Flag { name: "lifetime", short: None, kind: Kind::Text, choices: &[] },
    Flag { name: "memory", short: Some('m'), kind: Kind::Text, choices: &[] },
    Flag { name: "mount", short: None, kind: Kind::List, choices: &[] },
    Flag { name: "name", short: None, kind: Kind::Text, choices: &[] },
    Flag { name: "network", short: None, kind: Kind::Text, choices: &["user", "none"] },
    Flag { name: "net", short: None, kind: Kind::Text, choices: &["user", "none"] },
    Flag { name: "platform", short: None, kind: Kind::Text, choices: &[] },
    Flag { name: "progress", short: None, kind: Kind::Text, choices: &["auto", "plain", "json", "none"] },
    Flag { name: "publish", short: Some('p'), kind: Kind::List, choices: &[] },
    Flag { name: "publish-all", short: Some('P'), kind: Kind::Switch, choices: &[] },
    Flag { name: "pull", short: None, kind: Kind::Text, choices: &["missing", "always", "never"] },
    Flag { name: "quiet", short: Some('q'), kind: Kind::Switch, choices: &[] },
    Flag { name: "read-only", short: None, kind: Kind::Switch, choices: &[] },
    Flag { name: "restart", short: None, kind: Kind::Text, choices: &[] },
    Flag { name: "rm", short: None, kind: Kind::Switch, choices: &[] },
    Flag { name: "shm-size", short: None, kind: Kind::Text, choices: &[] },
    Flag { name: "stop-signal", short: None, kind: Kind::Text, choices: &[] },
    Flag { name: "stop-timeout", short: None, kind: Kind::Text, choices: &[] },
    Flag { name: "sysctl", short: None, kind: Kind::List, choices: &[] },
    Flag { name: "tmpfs", short: None, kind: Kind::List, choices: &[] },
    Flag { name: "tty", short: Some('t'), kind: Kind::Switch, choices: &[] },
    Flag { name: "ulimit", short: None, kind: Kind::List, choices: &[] },
    Flag { name: "user", short: Some('u'), kind: Kind::Text, choices: &[] },
    Flag { name: "vmm", short: None, kind: Kind::Text, choices: &["qemu", "firecracker"] },
    Flag { name: "volume", short: Some('v'), kind: Kind::List, choices: &[] },
    Flag { name: "workdir", short: Some('w'), kind: Kind::Text, choices: &[] },
    Flag { name: "detach", short: Some('d'), kind: Kind::Switch, choices: &[] },
    Flag { name: "detach-keys", short: None, kind: Kind::Text, choices: &[] },
    Flag { name: "sig-proxy", short: None, kind: Kind::On, choices: &[] },
    Flag { name: "timing", short: None, kind: Kind::Switch, choices: &[] },
];
