use super::*;
use crate::proto::ExecConfig;

mod run;

fn planned(args: &[&str]) -> Option<Plan> {
    planned_in(args, &[("KILN_ROOT", "/r"), ("HOME", "/home/me")], true)
}

fn planned_in(args: &[&str], env: &[(&str, &str)], terminal: bool) -> Option<Plan> {
    let args: Vec<OsString> = args.iter().map(OsString::from).collect();
    let lookup = |name: &str| {
        env.iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| OsString::from(value))
    };
    let world = World {
        env: &lookup,
        uid: 0,
        terminal,
    };
    plan(&args, &world)
}

fn config(args: &[&str]) -> ExecConfig {
    ExecConfig {
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
        ..Default::default()
    }
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

fn terminal(args: &[&str]) -> ExecConfig {
    ExecConfig {
        tty: true,
        stdin: true,
        ..config(args)
    }
}

fn assert_execs(table: &[(&[&str], ExecConfig)]) {
    for (args, wanted) in table {
        let start = ExecStart {
            vm: "box".into(),
            config: Some(wanted.clone()),
            ..Default::default()
        };
        let plan = planned(args).unwrap_or_else(|| panic!("{args:?} is plain"));
        assert_eq!(plan.verb, Verb::Exec(start), "{args:?}");
        assert_eq!(plan.host.socket, "/r/run/kiln.sock");
    }
}

#[test]
fn understands_what_people_write_to_exec() {
    assert_execs(&[
        (&["exec", "box", "ls", "-l"], config(&["ls", "-l"])),
        (&["exec", "--", "box", "ls", "-l"], config(&["ls", "-l"])),
        (&["exec", "-it", "box", "sh"], terminal(&["sh"])),
        (
            &["exec", "--tty", "--interactive", "box", "sh"],
            terminal(&["sh"]),
        ),
        // Flags end at VM: what follows is the program's, whatever it looks like.
        (&["exec", "box", "--", "ls"], config(&["--", "ls"])),
        (&["exec", "box", "-t", "--help"], config(&["-t", "--help"])),
        (
            &["exec", "-i", "box", "cat"],
            ExecConfig {
                stdin: true,
                ..config(&["cat"])
            },
        ),
        (
            &["exec", "-w", "-i", "box", "pwd"],
            ExecConfig {
                workdir: "-i".into(),
                ..config(&["pwd"])
            },
        ),
    ]);
}

#[test]
fn understands_variables_and_users_of_an_exec() {
    assert_execs(&[
        (
            &[
                "exec",
                "-e",
                "A=1",
                "-eB=2",
                "-e=C=3",
                "--env=D==4",
                "--env",
                "E=",
                "box",
                "env",
            ],
            ExecConfig {
                env: strings(&["A=1", "B=2", "C=3", "D==4", "E="]),
                ..config(&["env"])
            },
        ),
        (
            &["exec", "-e", "HOME", "-e", "NOBODY_HAS_THIS", "box", "env"],
            ExecConfig {
                env: strings(&["HOME=/home/me", "NOBODY_HAS_THIS"]),
                ..config(&["env"])
            },
        ),
        (
            &["exec", "-u", "root", "-w/tmp", "-u", "app:app", "box", "id"],
            ExecConfig {
                user: "app:app".into(),
                workdir: "/tmp".into(),
                ..config(&["id"])
            },
        ),
        (
            &["exec", "-tie", "A=1", "box", "sh"],
            ExecConfig {
                env: strings(&["A=1"]),
                ..terminal(&["sh"])
            },
        ),
    ]);
}

#[test]
fn takes_the_flags_before_the_verb() {
    let plan = planned(&[
        "--debug",
        "-H",
        "unix:///a",
        "--host=unix:///b",
        "exec",
        "box",
        "ls",
    ])
    .unwrap();
    assert_eq!((plan.host.socket.as_str(), plan.globals), ("/b", 4));
    assert_eq!(planned(&["exec", "box", "ls", "--debug"]).unwrap().globals, 0);
    assert_eq!(planned(&["--", "run", "image"]).unwrap().globals, 1);
}

#[test]
fn leaves_everything_else_to_the_typescript_cli() {
    let table: [&[&str]; 34] = [
        &[],
        &["--help"],
        &["--version"],
        &["ps"],
        &["vm", "exec", "box", "ls"],
        &["--help", "exec", "box", "ls"],
        &["--unknown", "exec", "box", "ls"],
        &["-H"],
        &["-H", "nonsense", "exec", "box", "ls"],
        &["exec"],
        &["exec", "box"],
        &["exec", "-it", "box"],
        &["exec", "--help"],
        &["exec", "-h"],
        &["exec", "-e", "--help", "box", "ls"],
        &["exec", "-e", "-h", "box", "ls"],
        &["exec", "-d", "box", "sleep", "1"],
        &["exec", "-itd", "box", "sleep", "1"],
        &["exec", "--env-file", "f", "box", "ls"],
        &["exec", "--env-file=f", "box", "ls"],
        &["exec", "--tty=false", "box", "ls"],
        &["exec", "-t=false", "box", "ls"],
        &["exec", "--no-tty", "box", "ls"],
        &["exec", "--privileged", "box", "ls"],
        &["exec", "-x", "box", "ls"],
        &["exec", "-ix", "box", "ls"],
        &["exec", "--", "box"],
        &["exec", "-", "--help"],
        &["exec", "-e"],
        &["exec", "-e", "=A", "box", "ls"],
        &["exec", "-e", "", "box", "ls"],
        &["exec", "-e", "A B=c", "box", "ls"],
        &["exec", "-e", "A\u{a0}=c", "box", "ls"],
        &["exec", "--user"],
    ];
    for args in table {
        assert_eq!(planned(args), None, "{args:?}");
    }
}

#[test]
fn wants_a_terminal_where_one_is_to_be_typed_on() {
    let env = [("KILN_ROOT", "/r")];
    assert_eq!(planned_in(&["exec", "-it", "box", "sh"], &env, false), None);
    assert!(planned_in(&["exec", "-t", "box", "sh"], &env, false).is_some());
    assert!(planned_in(&["exec", "-i", "box", "sh"], &env, false).is_some());
}

#[test]
fn leaves_what_is_no_text_to_the_typescript_cli() {
    use std::os::unix::ffi::OsStringExt;
    let odd = OsString::from_vec(vec![b'a', 0xff]);
    let world = World {
        env: &|_| Some(OsString::from_vec(vec![0xff])),
        uid: 0,
        terminal: false,
    };
    let args = ["exec", "box", "ls"].map(OsString::from);
    assert_eq!(plan(&[&args[..], &[odd]].concat(), &world), None, "an argument");
    assert_eq!(plan(&args, &world), None, "KILN_HOST");
}
