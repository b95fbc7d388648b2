// Runs as the user of its caller: starts a program of probes where a VMM would be, in the same jail with the same
// filter and user, and prints what the program could do. argv: a JSON of ProbeRequest.

import { chmod, chown, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { KilnError } from "../../src/base/errors.js";
import { createFirecrackerDriver } from "../../src/vmm/index.js";
import { Confiner } from "../../src/vmm/jail/confiner.js";
import { hostTree } from "../../src/vmm/jail/tree.js";
import type { VmmSpec } from "../../src/vmm/types.js";

export interface ProbeRequest {
  /** In whose place. */
  readonly driver: "qemu" | "firecracker";
  /** Existing; the caller's. */
  readonly directory: string;
  readonly runAs?: { readonly uid: number; readonly gid: number };
  /** Paths of the host that must not be there. */
  readonly paths: readonly string[];
  /** Processes of the host that must not be reached. */
  readonly pids: readonly number[];
  /** A name in the abstract space on which somebody of the host listens. */
  readonly abstract: string;
  /** A port of 127.0.0.1 on which somebody of the host listens. */
  readonly port: number;
}

/** perl-base is on every Debian and can make any system call; x86_64's numbers. */
const PROBES = `
use strict; use Socket; my ($tcp, $unix);
my ($in_path, $out_path, $port, $abstract, $pids, @paths) = @ARGV;
open(my $out, ">", $out_path) or die "out: $!";
sub say_it { my ($name, $done) = @_; print $out "$name=" . ($done ? "done" : "refused") . "\\n"; }
sub call { my ($name, @args) = @_; my $got = syscall(@args); say_it($name, $got >= 0); }
for my $path (@paths) {
  say_it("see $path", -e $path || -l $path);
  say_it("plant a link at $path", symlink("/in", $path));
  say_it("append to $path", open(my $file, ">>", $path));
  my $name = $path; call("make a fifo at $path", 133, $name, 010600, 0);
  my ($to, $address) = (undef, pack("Sa108", PF_UNIX, $path));
  say_it("connect to $path", socket($to, PF_UNIX, SOCK_STREAM, 0) && connect($to, $address));
}
for my $pid (split /,/, $pids) {
  say_it("signal $pid", kill(0, $pid));
  call("ptrace $pid", 101, 16, $pid + 0, 0, 0);
  say_it("memory $pid", open(my $mem, "<", "/proc/$pid/mem"));
}
say_it("tcp", socket($tcp, PF_INET, SOCK_STREAM, 0) && connect($tcp, pack_sockaddr_in($port, inet_aton("127.0.0.1"))));
say_it("inet socket", socket(my $inet, PF_INET, SOCK_DGRAM, 0));
say_it("netlink socket", socket(my $netlink, 16, SOCK_RAW, 0));
say_it("packet socket", socket(my $packet, 17, SOCK_RAW, 0));
say_it("vsock socket", socket(my $vsock, 40, SOCK_STREAM, 0));
say_it("abstract", socket($unix, PF_UNIX, SOCK_STREAM, 0) && connect($unix, pack("Sa*", PF_UNIX, "\\0$abstract")));
my $params = "\\0" x 200; call("io_uring", 425, 8, $params);
my ($type, $text) = ("user", "kiln"); call("add_key", 248, $type, $text, $text, 4, -3);
call("keyctl", 250, 0, -3, 1);
call("unshare user", 272, 0x10000000); call("unshare net", 272, 0x40000000);
call("userfaultfd", 323, 1); call("bpf", 321, 0, $params, 72); call("perf", 298, $params, 0, -1, -1, 0);
my ($root, $here) = ("/", "/here"); call("chroot", 161, $root); call("symlink", 88, $root, $here);
call("shm of the host", 29, 0x6b696c6e, 0, 0);
call("setuid root", 105, 0);
say_it("chmod setuid", chmod(04755, $out_path));
for my $path ("/new", "/usr/new", "/dev/new", $in_path) { say_it("write $path", open(my $file, ">", $path)); }
open(my $in, "<", $in_path); my $line = <$in>; say_it("read its own", ($line // "") eq "its own\\n");
opendir(my $top, "/"); print $out "top=" . join(" ", sort grep { !/^\\./ } readdir($top)) . "\\n";
print $out "uid=$<\\n";
print $out "end=\\n";
close($out);
`;

const request = JSON.parse(process.argv[2] ?? "") as ProbeRequest;
const { directory, runAs, paths, pids, driver } = request;
const [input, output, run] = [join(directory, "in"), join(directory, "out"), join(directory, "run")];
await writeFile(input, "its own\n");
await writeFile(output, "");
await mkdir(run);
if (runAs !== undefined) await chown(output, runAs.uid, runAs.gid);
const spec: VmmSpec = {
  ...{ vmId: "e".repeat(64), runDirectory: run, stateDirectory: directory, kernel: input, initrd: input },
  ...{ kernelArgs: [], vcpus: 1, memoryBytes: 64 * 1024 * 1024, disks: [], cards: [], ports: [] },
  ...(runAs === undefined ? {} : { runAs }),
};

/** The words that the probes are told. */
const wordsFor = (inPath: string, outPath: string): readonly string[] => [
  ...[inPath, outPath, String(request.port), request.abstract, pids.join(","), ...paths],
];

async function inPlaceOfQemu(): Promise<string> {
  const { process: vmm } = await new Confiner({}).launch({
    spec,
    driver: "qemu",
    program: "/usr/bin/perl",
    tree: hostTree,
    files: [
      { path: input, at: "/in", writable: false, what: "input" },
      { path: output, at: "/out", writable: true, what: "output" },
    ],
    listeners: [],
    devices: ["/dev/null"],
    overheadBytes: 256 * 1024 * 1024,
    command: () => ["/usr/bin/perl", "-e", PROBES, ...wordsFor("/in", "/out")],
  });
  const end = await vmm.ended;
  return end.code === 0 ? "" : `${JSON.stringify(end)} ${vmm.stderrTail()}`;
}

/** By the driver itself: the probes are its program, which runs with what a Firecracker is given and ends. */
async function inPlaceOfFirecracker(): Promise<string> {
  const programs = join(directory, "programs");
  const program = join(programs, "firecracker");
  await mkdir(programs);
  const quoted = wordsFor("/vmlinux", "/disk-out").map((word) => `'${word}'`);
  const answer = 'case "$*" in *--version*) echo "Firecracker v1.15.1"; exit 0;; esac';
  const lines = ["#!/bin/sh", answer, `exec /usr/bin/perl '${join(programs, "probes")}' ${quoted.join(" ")}`];
  await writeFile(program, `${lines.join("\n")}\n`);
  await writeFile(join(programs, "probes"), PROBES);
  for (const path of [programs, program]) await chmod(path, 0o755);
  const disks = [{ id: "out", path: output, readOnly: false }];
  const vmm = createFirecrackerDriver({
    ...{
      cacheDirectory: directory,
      firecracker: program,
      firecrackerFiles: [programs],
      trustFirecracker: true,
    },
  });
  try {
    await vmm.launch({ ...spec, disks });
    return "it runs on";
  } catch (error) {
    // It has no API: all that the driver sees is its end, which in status 0 is a guest's reboot.
    const { reason, message } = KilnError.from(error);
    return reason === "vmm-failed" && message.endsWith("the guest rebooted") ? "" : message;
  }
}

const failure = await (driver === "qemu" ? inPlaceOfQemu() : inPlaceOfFirecracker());
process.stdout.write(JSON.stringify({ failure, text: await readFile(output, "utf8") }));
