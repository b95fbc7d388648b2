import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hasReason } from "../../base/errors.js";
import type { JailFile } from "../jail/plan.js";
import type { CardSpec, VmmSpec } from "../types.js";
import { planConfig } from "./config.js";
import { explainEnd, lockWords, planConfined } from "./confined.js";
import { JailerWay, planJail } from "./jailer.js";
import { LogWatch } from "./log-watch.js";
import { MetricsReader } from "./metrics.js";
import { planPaths, recordedPaths } from "./paths.js";

const SPEC: VmmSpec = {
  vmId: "ab".repeat(32),
  runDirectory: "/run/kiln/v/0123456789abcdef",
  stateDirectory: "/var/lib/kiln/vms/x/vmm",
  kernel: "/k/vmlinux",
  initrd: "/k/initrd",
  kernelArgs: ["loglevel=7"],
  vcpus: 2,
  memoryBytes: 512 * 1024 * 1024,
  disks: [
    { id: "base", path: "/d/base", readOnly: true },
    { id: "cow", path: "/d/cow", readOnly: false },
  ],
  cards: [],
  ports: [],
};
const TAP7: CardSpec["backend"] = {
  ...{ kind: "tap", on: "user", name: "tap7", peer: "slirp0", mtu: 1500, make: [], within: [] },
};
describe("planConfig", () => {
  const plan = (version: string) => planConfig(SPEC, version, planPaths(SPEC.runDirectory));

  it("keeps the order of the disks and makes none the root device", () => {
    assert.deepEqual(plan("1.16.1").drives, [
      {
        drive_id: "base",
        is_root_device: false,
        path_on_host: "/d/base",
        is_read_only: true,
        cache_type: "Unsafe",
      },
      {
        drive_id: "cow",
        is_root_device: false,
        path_on_host: "/d/cow",
        is_read_only: false,
        cache_type: "Writeback",
      },
    ]);
  });

  it("has a card on the tap that it is given where one is asked for, and none else", () => {
    assert.deepEqual(plan("1.16.1")["network-interfaces"], []);
    const cards: CardSpec[] = [{ id: "eth0", mac: "02:00:00:00:00:01", backend: TAP7 }];
    const { "network-interfaces": interfaces } = planConfig({ ...SPEC, cards }, "1.16.1", planPaths("/r"));
    assert.deepEqual(interfaces, [
      { iface_id: "eth0", host_dev_name: "tap7", guest_mac: "02:00:00:00:00:01" },
    ]);
  });

  it("ends by the keyboard controller and lets modules load", () => {
    const { boot_args } = plan("1.16.1")["boot-source"] as { boot_args: string };
    assert.match(boot_args, /reboot=k quiet panic=-1/);
    assert.doesNotMatch(boot_args, /nomodule|root=|tsc/);
    assert.match(boot_args, / loglevel=7$/);
  });

  it("sends no field to a version that does not know it", () => {
    assert.deepEqual(plan("1.14.0").balloon, {
      amount_mib: 0,
      deflate_on_oom: true,
      free_page_reporting: true,
    });
    assert.deepEqual(plan("1.13.1").balloon, { amount_mib: 0, deflate_on_oom: true });
    assert.ok("entropy" in plan("1.4.0"));
    assert.ok(!("entropy" in plan("1.3.0")));
  });

  it("leaves room on the command line for what Firecracker appends", () => {
    const fits = { ...SPEC, kernelArgs: ["x".repeat(1600)] };
    assert.ok(planConfig(fits, "1.16.1", planPaths("/r")));
    assert.throws(
      () => planConfig({ ...SPEC, kernelArgs: ["x".repeat(1800)] }, "1.16.1", planPaths("/r")),
      (error) => hasReason(error, "bad-kernel-args"),
    );
  });
});

describe("planConfined", () => {
  const plan = planConfined(SPEC, "1.16.1");
  const inJail = ({ at }: JailFile) => at;

  it("names files as they are in the jail, and hands every one over", () => {
    const config = plan.config(inJail);
    assert.equal((config["boot-source"] as { initrd_path: string }).initrd_path, "/initrd");
    const drives = config.drives as { path_on_host: string }[];
    assert.deepEqual(
      drives.map((drive) => drive.path_on_host),
      ["/disk-base", "/disk-cow"],
    );
    assert.deepEqual(config.vsock, { guest_cid: 3, uds_path: "/s/vsock.sock" });
    const words = plan.command("/usr/bin/firecracker", inJail);
    assert.deepEqual(words.slice(0, 5), [
      "/usr/bin/firecracker",
      "--id",
      SPEC.vmId,
      "--api-sock",
      "/s/api.sock",
    ]);
    const named = [...words, JSON.stringify(config)].join(" ");
    for (const { at } of plan.files) assert.ok(named.includes(at), `${at} is used`);
    assert.ok(!named.includes(SPEC.runDirectory));
  });

  it("gives nothing for writing but a writable disk, its FIFOs and the directory of its sockets", () => {
    const writable = plan.files.filter((file) => file.writable);
    assert.deepEqual(
      writable.map(({ at, type = "file" }) => [at, type]),
      [
        ["/disk-cow", "file"],
        ["/log", "fifo"],
        ["/metrics", "fifo"],
        ["/s", "directory"],
      ],
    );
    assert.equal(plan.paths.api, "/run/kiln/v/0123456789abcdef/s/api.sock");
    assert.equal(plan.paths.log, "/run/kiln/v/0123456789abcdef/log");
  });

  it("locks every writable disk for the life of the process", () => {
    const flock = ["flock", "--nonblock", "--no-fork", "--conflict-exit-code", "75"];
    assert.deepEqual(lockWords(SPEC), [...flock, "/d/cow"]);
    assert.ok(hasReason(explainEnd({ code: 75 }), "disk-in-use"));
    assert.equal(explainEnd({ code: 1 }), undefined);
  });
});

describe("the jailer, where it is asked for", () => {
  const runAs = { uid: 5000, gid: 5001 };
  const jailed = planJail(SPEC, runAs, "/usr/bin/jailer", "/usr/bin/firecracker");

  it("changes root and user, and files are named as they are in its chroot", () => {
    const words = jailed.argv.join(" ");
    assert.match(
      words,
      /^\/usr\/bin\/jailer --id (ab){32} --exec-file \/usr\/bin\/firecracker --uid 5000 --gid 5001/,
    );
    assert.match(words, / -- --api-sock \/api\.sock --config-file \/config\.json --log-path \/log /);
    assert.equal(jailed.spec.initrd, "/initrd");
    assert.deepEqual(
      jailed.spec.disks.map(({ path }) => path),
      ["/disk-base", "/disk-cow"],
    );
  });

  it("is reached by a path short enough for sockets", () => {
    const way = new JailerWay(SPEC, runAs, "/usr/bin/jailer", {
      program: "/usr/bin/firecracker",
      version: "1.16.1",
    });
    assert.equal(way.paths.api, "/run/kiln/v/0123456789abcdef/j/api.sock");
    assert.equal(jailed.root, `/var/lib/kiln/vms/x/vmm/jail/firecracker/${SPEC.vmId}/root`);
  });
});

describe("recordedPaths", () => {
  it("finds the sockets of every release's VMs", () => {
    const run = "/run/kiln/v/x";
    assert.equal(recordedPaths({ sockets: "s", jail: "root" }, run).api, `${run}/s/api.sock`);
    assert.equal(recordedPaths({}, run).api, `${run}/api.sock`);
    assert.equal(recordedPaths({ jail: "/d/jail", jailLink: `${run}/j` }, run).api, `${run}/j/api.sock`);
  });
});

describe("MetricsReader", () => {
  it("sums deltas over lines, whatever the chunks, and skips what is damaged", () => {
    const text = [
      '{"block":{"read_bytes":10,"write_bytes":1},"net":{"rx_bytes_count":5,"tx_bytes_count":6}}',
      "damaged",
      '{"block":{"read_bytes":2,"write_bytes":-1},"net":"none"}',
      "",
    ].join("\n");
    const reader = new MetricsReader();
    for (const char of text) reader.take(Buffer.from(char));
    assert.deepEqual(reader.traffic, {
      blockReadBytes: 12,
      blockWriteBytes: 1,
      netRxBytes: 5,
      netTxBytes: 6,
    });
  });
});

describe("LogWatch", () => {
  it("tells a clean end, and keeps errors for people", () => {
    const watch = new LogWatch();
    watch.take(Buffer.from("2026-01-01T00:00:00.0 [id:main] Running Firecracker v1.16.1\n"));
    watch.take(Buffer.from("2026-01-01T00:00:00.1 [id:main] Error: no such file\n"));
    assert.equal(watch.endedCleanly, false);
    assert.equal(watch.lastWords(), "Error: no such file");
    watch.take(
      Buffer.from("2026-01-01T00:00:00.2 [id:main] Firecracker exiting successfully. exit_code=0\n"),
    );
    assert.equal(watch.endedCleanly, true);
  });
});
