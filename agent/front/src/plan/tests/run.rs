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

#[test]
fn understands_what_people_write() {
    let plain = VmConfig {
        image: "alpine".into(),
        ..Default::default()
    };
    let with = |change: fn(&mut VmConfig)| {
        let mut config = plain.clone();
        change(&mut config);
        config
    };
    let table: [(&[&str], VmConfig); 14] = [
        (&["alpine"], plain.clone()),
        (&["--rm", "-q", "alpine"], with(|vm| vm.auto_remove = true)),
        (
            &["-i", "alpine", "sh", "-c", "--rm"],
            with(|vm| {
                vm.open_stdin = true;
                vm.command = strings(&["sh", "-c", "--rm"]);
            }),
        ),
        (
            &["-e", "A=1", "-eHOME", "alpine"],
            with(|vm| vm.env = strings(&["A=1", "HOME=/home/me"])),
        ),
        (
            &["--entrypoint", "sh", "alpine"],
            with(|vm| (vm.entrypoint, vm.entrypoint_set) = (strings(&["sh"]), true)),
        ),
        (&["--entrypoint=", "alpine"], with(|vm| vm.entrypoint_set = true)),
        (
            &["-l", "a=b=c", "--label", "d", "-la=e", "alpine"],
            with(|vm| {
                vm.labels.insert("a".into(), "e".into());
                vm.labels.insert("d".into(), String::new());
            }),
        ),
        (
            &["-h", "host", "--name", "urn", "-u", "app", "-w/tmp", "alpine"],
            with(|vm| {
                (vm.hostname, vm.name) = ("host".into(), "urn".into());
                (vm.user, vm.workdir) = ("app".into(), "/tmp".into());
            }),
        ),
        (
            &[
                "--network",
                "none",
                "--net",
                "user",
                "--vmm=qemu",
                "--init",
                "app",
                "alpine",
            ],
            with(|vm| {
                vm.network = "none".into();
                (vm.vmm, vm.init) = ("qemu".into(), "app".into());
            }),
        ),
        (
            &["--net", "none", "alpine"],
            with(|vm| vm.network = "none".into()),
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
            with(|vm| {
                vm.kernel = "debian".into();
                vm.kernel_args = strings(&["a", "b=c", "d"]);
            }),
        ),
        (
            &["-m", "512m", "--disk=2G", "--cpus", "2", "alpine"],
            with(|vm| {
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
            with(|vm| {
                vm.dns = strings(&["1.1.1.1"]);
                (vm.stop_signal, vm.platform) = ("INT".into(), "linux/amd64".into());
                vm.publish_all = true;
            }),
        ),
        // On by default; what progress there is goes to the other CLI.
        (&["--sig-proxy", "--progress", "plain", "alpine"], plain.clone()),
    ];
    for (args, wanted) in table {
        let args = [&["run"], args].concat();
        let request = CreateVmRequest {
            config: Some(wanted),
            pull: "missing".into(),
            ready_only: true,
        };
        assert_eq!(requested(&args), request, "{args:?}");
    }
    assert_eq!(requested(&["run", "--pull", "never", "alpine"]).pull, "never");
}

#[test]
fn leaves_everything_else_to_the_typescript_cli() {
    let table: [&[&str]; 35] = [
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
