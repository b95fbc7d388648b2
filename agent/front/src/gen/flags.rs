// Generated from the table of verbs by `npm run gen`. Do not edit.

/// Flags before the verb.
pub const GLOBAL: &[Flag] = &[
    Flag { name: "host", short: Some('H'), kind: Kind::Text },
    Flag { name: "debug", short: None, kind: Kind::Switch },
    Flag { name: "version", short: Some('v'), kind: Kind::Switch },
    Flag { name: "help", short: Some('h'), kind: Kind::Switch },
];

/// Flags of exec.
pub const EXEC: &[Flag] = &[
    Flag { name: "detach", short: Some('d'), kind: Kind::Switch },
    Flag { name: "env", short: Some('e'), kind: Kind::List },
    Flag { name: "env-file", short: None, kind: Kind::List },
    Flag { name: "interactive", short: Some('i'), kind: Kind::Switch },
    Flag { name: "tty", short: Some('t'), kind: Kind::Switch },
    Flag { name: "user", short: Some('u'), kind: Kind::Text },
    Flag { name: "workdir", short: Some('w'), kind: Kind::Text },
];
