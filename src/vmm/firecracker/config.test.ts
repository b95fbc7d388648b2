import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hasReason } from "../../base/errors.js";
import type { VmmSpec } from "../types.js";
import { planConfig, planFirecracker } from "./config.js";
import { LogWatch } from "./log-watch.js";
import { MetricsReader } from "./metrics.js";
import { planPaths } from "./paths.js";

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
};
const HOST = {
  program: "/usr/bin/firecracker",
  version: "1.16.1",
  uid: 1000,
  kvmGroup: undefined,
  jailer: undefined,
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

describe("planFirecracker", () => {
  it("locks every writable disk for the life of the process", () => {
    const { argv } = planFirecracker(SPEC, HOST);
    const at = argv.indexOf("flock");
    assert.deepEqual(argv.slice(at, argv.indexOf(HOST.program)), [
      "flock",
      "--nonblock",
      "--no-fork",
      "--conflict-exit-code",
      "75",
      "/d/cow",
    ]);
  });

  it("wraps a VM with a network card into a namespace of its own", () => {
    const spec = { ...SPEC, network: { mac: "02:00:00:00:00:01", mode: "user" } as const };
    const ordinary = planFirecracker(spec, HOST);
    assert.deepEqual(ordinary.argv.slice(0, 4), ["unshare", "--user", "--map-root-user", "--net"]);
    assert.deepEqual(ordinary.config["network-interfaces"], [
      { iface_id: "eth0", host_dev_name: "tap0", guest_mac: "02:00:00:00:00:01" },
    ]);
    const root = planFirecracker({ ...spec, runAs: { uid: 5000, gid: 5000 } }, { ...HOST, uid: 0 });
    assert.deepEqual(root.argv.slice(0, 3), ["unshare", "--net", "--mount"]);
    assert.match(root.argv.join(" "), /chown 5000 \/dev\/net\/tun/);
    assert.match(root.argv.join(" "), /ip tuntap add dev tap0 mode tap user 5000/);
  });
});

describe("planFirecracker with a jailer", () => {
  const jailed = planFirecracker(
    { ...SPEC, runAs: { uid: 5000, gid: 5001 } },
    { ...HOST, uid: 0, jailer: "/usr/bin/jailer" },
  );

  it("lets the jailer change root and user, and speaks of files as they are in the jail", () => {
    const words = jailed.argv.join(" ");
    assert.match(
      words,
      /^\/usr\/bin\/jailer --id (ab){32} --exec-file \/usr\/bin\/firecracker --uid 5000 --gid 5001/,
    );
    assert.match(words, / -- --api-sock \/api\.sock --config-file \/config\.json --log-path \/log /);
    assert.equal((jailed.config["boot-source"] as { initrd_path: string }).initrd_path, "/initrd");
    assert.deepEqual(
      (jailed.config.drives as { path_on_host: string }[]).map((drive) => drive.path_on_host),
      ["/disk-base", "/disk-cow"],
    );
    assert.deepEqual(jailed.config.vsock, { guest_cid: 3, uds_path: "/vsock.sock" });
  });

  it("reaches the jail by a path short enough for sockets", () => {
    assert.equal(jailed.paths.api, "/run/kiln/v/0123456789abcdef/j/api.sock");
    assert.equal(jailed.jail?.root, `/var/lib/kiln/vms/x/vmm/jail/firecracker/${SPEC.vmId}/root`);
  });

  it("is for a root daemon and a VM with a user of its own", () => {
    const ordinary = planFirecracker(
      { ...SPEC, runAs: { uid: 1, gid: 1 } },
      { ...HOST, jailer: "/usr/bin/jailer" },
    );
    assert.equal(ordinary.jail, undefined);
    assert.equal(planFirecracker(SPEC, { ...HOST, uid: 0, jailer: "/usr/bin/jailer" }).jail, undefined);
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
