use super::*;
use crate::proto::VmConfig;

fn requested(args: &[&str]) -> CreateVmRequest {
    match planned(args) {
        Some(Plan {
            verb: Verb::Run(request),
            ..
        }) => *request,
        other => panic!("{args:?} is a plain run: {other:?}"),
    }
}

/// What a plain run asks for, with a change.
fn alpine(change: fn(&mut VmConfig)) -> VmConfig {
    let mut config = VmConfig {
        image: "alpine".into(),
        ..Default::default()
    };
    change(&mut config);
    config
}

fn assert_runs(table: &[(&[&str], VmConfig)]) {
    for (args, wanted) in table {
        let args = [&["run"], *args].concat();
        let request = CreateVmRequest {
            config: Some(wanted.clone()),
            pull: "missing".into(),
            ready_only: true,
        };
        assert_eq!(requested(&args), request, "{args:?}");
    }
}

#[test]
fn understands_the_image_and_its_command() {
    assert_runs(&[
        (&["alpine"], alpine(|_| ())),
        (&["--rm", "-q", "alpine"], alpine(|vm| vm.auto_remove = true)),
        (
            &["-i", "alpine", "sh", "-c", "--rm"],
            alpine(|vm| {
                vm.open_stdin = true;
                vm.command = strings(&["sh", "-c", "--rm"]);
            }),
        ),
        (
            &["--entrypoint", "sh", "alpine"],
            alpine(|vm| (vm.entrypoint, vm.entrypoint_set) = (strings(&["sh"]), true)),
        ),
        (
            &["--entrypoint=", "alpine"],
            alpine(|vm| vm.entrypoint_set = true),
        ),
        // On by default; what progress there is goes to the other CLI.
        (&["--sig-proxy", "--progress", "plain", "alpine"], alpine(|_| ())),
    ]);
}

#[test]
fn understands_names_and_variables() {
    assert_runs(&[
        (
            &["-e", "A=1", "-eHOME", "alpine"],
            alpine(|vm| vm.env = strings(&["A=1", "HOME=/home/me"])),
        ),
        (
            &["-l", "a=b=c", "--label", "d", "-la=e", "alpine"],
            alpine(|vm| {
                vm.labels.insert("a".into(), "e".into());
                vm.labels.insert("d".into(), String::new());
            }),
        ),
        (
            &["-h", "host", "--name", "urn", "-u", "app", "-w/tmp", "alpine"],
            alpine(|vm| {
                (vm.hostname, vm.name) = ("host".into(), "urn".into());
                (vm.user, vm.workdir) = ("app".into(), "/tmp".into());
            }),
        ),
    ]);
}

#[test]
fn understands_networks_and_kernels() {
    assert_runs(&[
        (
            &["--network", "none", "--vmm=qemu", "--init", "app", "alpine"],
            alpine(|vm| {
                vm.network = "none".into();
                (vm.vmm, vm.init) = ("qemu".into(), "app".into());
            }),
        ),
        (
            &["--net", "none", "alpine"],
            alpine(|vm| vm.network = "none".into()),
        ),
        (
            &[
                "--kernel",
                "debian",
                "--kernel-args",
                " a  b=c",
                "--kernel-args",
                "d",
                "alpine",
            ],
            alpine(|vm| {
                vm.kernel = "debian".into();
                vm.kernel_args = strings(&["a", "b=c", "d"]);
            }),
        ),
    ]);
}

#[test]
fn understands_the_machine_that_people_ask_for() {
    assert_runs(&[
        (
            &["-m", "512m", "--disk=2G", "--cpus", "2", "alpine"],
            alpine(|vm| {
                (vm.memory_bytes, vm.disk_bytes) = (512 << 20, 2 << 30);
                vm.cpus = 2.0;
            }),
        ),
        (
            &[
                "--dns",
                "1.1.1.1",
                "--stop-signal",
                "INT",
                "--platform",
                "linux/amd64",
                "-P",
                "alpine",
            ],
            alpine(|vm| {
                vm.dns = strings(&["1.1.1.1"]);
                (vm.stop_signal, vm.platform) = ("INT".into(), "linux/amd64".into());
                vm.publish_all = true;
            }),
        ),
    ]);
}

#[test]
fn understands_when_an_image_is_to_be_pulled() {
    assert_eq!(requested(&["run", "--pull", "never", "alpine"]).pull, "never");
}

#[test]
fn leaves_everything_else_to_the_typescript_cli() {
    let table: [&[&str]; 40] = [
        &[],
        &["--rm"],
        &["--help"],
        &["-d", "alpine"],
        &["-it", "alpine"],
        &["-t", "alpine"],
        &["--timing", "alpine"],
        &["--cidfile", "f", "alpine"],
        &["--env-file", "f", "alpine"],
        &["-e", "", "alpine"],
        &["-p", "80:80", "alpine"],
        &["--add-host", "a:1.2.3.4", "alpine"],
        &["--restart", "no", "alpine"],
        &["--stop-timeout", "1", "alpine"],
        &["--detach-keys", "x", "alpine"],
        &["--no-sig-proxy", "alpine"],
        &["--sig-proxy=false", "alpine"],
        &["--pull", "always", "alpine"],
        &["--pull", "sometimes", "alpine"],
        &["--network", "bridge", "alpine"],
        &["--network=bridge", "alpine"],
        &["--network", "web:ip=10.89.0.5", "alpine"],
        &["--network", "none", "--net", "user", "alpine"],
        &["--ip", "10.89.0.5", "alpine"],
        &["--egress", "none", "alpine"],
        &["--dns-search", "a.example", "alpine"],
        &["--init=", "alpine"],
        &["-l", "", "alpine"],
        &["-l", "=a", "alpine"],
        &["-m", "1.5g", "alpine"],
        &["-m", "1GiB", "alpine"],
        &["-m", "", "alpine"],
        &["-m", "g", "alpine"],
        &["-m", "1234567m", "alpine"],
        &["--cpus", "0", "alpine"],
        &["--cpus", "+1", "alpine"],
        &["--cpus", "1.5", "alpine"],
        &["--kernel-args", "a\tb", "alpine"],
        &["oci:layout", "true"],
        &["docker-archive:file.tar"],
    ];
    for args in table {
        let args = [&["run"], args].concat();
        assert_eq!(planned(&args), None, "{args:?}");
    }
}
