import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type JailRequest, planJail, planUnconfined } from "./plan.js";

const REQUEST: JailRequest = {
  way: "user",
  bwrap: "/usr/bin/bwrap",
  tree: { binds: [{ from: "/data/trees/k/usr", at: "/usr" }], links: [{ target: "usr/lib", at: "/lib" }] },
  files: [
    { path: "/data/kernel", at: "/vmlinux", writable: false, what: "kernel" },
    { path: "/data/cow", at: "/disk/cow", writable: true, what: "disk cow" },
  ],
  devices: [],
  listeners: ["qmp.sock", "channel.sock"],
  network: "empty",
  environment: { LANG: "C" },
  runAs: undefined,
  groups: [],
  limits: { openFiles: 1024, processes: undefined },
  command: ["/usr/bin/vmm", "--flag"],
};

/** The words after each occurrence of an option. */
function after(argv: readonly string[], option: string, count: number): string[][] {
  return argv.flatMap((word, index) => (word === option ? [argv.slice(index + 1, index + 1 + count)] : []));
}

describe("planJail", () => {
  const { argv, descriptors } = planJail(REQUEST);

  it("numbers descriptors in the order in which they are handed over", () => {
    assert.deepEqual(
      descriptors.map(({ kind }) => kind),
      ["listener", "listener", "filter", "info", "file", "file", "words"],
    );
    assert.deepEqual(after(argv, "--add-seccomp-fd", 1), [["5"]]);
    assert.deepEqual(after(argv, "--info-fd", 1), [["6"]]);
    assert.deepEqual(after(argv, "--ro-bind-fd", 2), [["7", "/vmlinux"]]);
    assert.deepEqual(after(argv, "--bind-fd", 2), [["8", "/disk/cow"]]);
  });

  it("hands the environment over where no other user of the host reads it", () => {
    const secret = planJail({ ...REQUEST, environment: { KILN_OWNER: "a mark" } });
    assert.ok(!secret.argv.some((word) => /KILN_OWNER|a mark/.test(word)), secret.argv.join(" "));
    assert.deepEqual(secret.descriptors.at(-1), {
      kind: "words",
      words: ["--setenv", "KILN_OWNER", "a mark"],
    });
    assert.deepEqual(after(secret.argv, "--args", 1), [["9"]]);
  });

  it("unshares every namespace, and gives no name of the host's files but the tree's", () => {
    for (const one of ["user", "ipc", "pid", "net", "uts", "cgroup"])
      assert.ok(argv.includes(`--unshare-${one}`), one);
    assert.deepEqual(after(argv, "--ro-bind", 2), [["/data/trees/k/usr", "/usr"]]);
    assert.deepEqual(after(argv, "--remount-ro", 1), [["/"]]);
    for (const option of ["--bind", "--dev", "--proc", "--dev-bind", "--die-with-parent"]) {
      assert.ok(!argv.includes(option), option);
    }
    assert.ok(argv.includes("--clearenv") && argv.includes("--as-pid-1") && argv.includes("--new-session"));
  });

  it("ends with the program, whose user root's way changes inside", () => {
    assert.deepEqual(argv.slice(argv.lastIndexOf("--") + 1), ["/usr/bin/vmm", "--flag"]);
    const root = planJail({ ...REQUEST, way: "root", runAs: { uid: 7, gid: 8 }, groups: [108] }).argv;
    assert.ok(!root.includes("--unshare-user"));
    const inside = root.slice(root.indexOf("setpriv"));
    assert.ok(
      inside.includes("--reuid=7") && inside.includes("--regid=8") && inside.includes("--groups=108"),
    );
    assert.ok(inside.includes("--no-new-privs") && inside.includes("--bounding-set=-all"));
    assert.deepEqual(inside.slice(-2), ["/usr/bin/vmm", "--flag"]);
  });

  it("limits core files, open files, and processes where the user has no others", () => {
    assert.deepEqual(argv.slice(0, 4), ["prlimit", "--core=0", "--nofile=1024", "--"]);
    const limits = { openFiles: 10, processes: 20 };
    assert.ok(planJail({ ...REQUEST, limits }).argv.includes("--nproc=20"));
  });

  it("stays in the network that was made around it, and shows devices, only where asked to", () => {
    const devices = ["/dev/kvm", "/dev/net/tun"];
    const { argv: open } = planJail({ ...REQUEST, way: "user", network: "outer", devices });
    assert.ok(!open.includes("--unshare-net") && !open.includes("--unshare-user"));
    assert.ok(open.includes("--unshare-pid"));
    assert.deepEqual(
      after(open, "--dev-bind", 2),
      devices.map((path) => [path, path]),
    );
    assert.deepEqual(after(open, "--dir", 1).flat(), ["/dev", "/dev/net"]);
  });

  it("hands over a directory and a FIFO as what they are, writable where the VMM writes", () => {
    const files = [
      { path: "/run/s", at: "/s", writable: true, type: "directory", what: "directory" },
      { path: "/run/log", at: "/log", writable: true, type: "fifo", what: "log" },
    ] as const;
    const { descriptors, argv: words } = planJail({ ...REQUEST, files });
    const types = descriptors.flatMap((one) => (one.kind === "file" ? [one.type] : []));
    assert.deepEqual(types, ["directory", "fifo"]);
    assert.deepEqual(
      after(words, "--bind-fd", 2).map(([, at]) => at),
      ["/s", "/log"],
    );
  });
});

describe("planUnconfined", () => {
  it("hands the same files over, by descriptors that need no way to them", () => {
    const { files, listeners, limits } = REQUEST;
    const command = (at: (file: (typeof files)[number]) => string) => ["vmm", ...files.map(at)];
    const plan = planUnconfined({
      runAs: undefined,
      uid: 1000,
      groups: [],
      limits,
      files,
      listeners,
      command,
    });
    assert.deepEqual(plan.argv.slice(-3), ["vmm", "/proc/self/fd/5", "/proc/self/fd/6"]);
    assert.ok(plan.argv.includes("--no-new-privs"));
    assert.deepEqual(
      plan.descriptors.map(({ kind }) => kind),
      ["listener", "listener", "file", "file"],
    );
  });
});
