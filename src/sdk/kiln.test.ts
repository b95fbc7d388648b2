import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, beforeEach, describe, it } from "node:test";
import { FakeKilnd } from "../../test/fixtures/fake-kilnd.js";
import { Code, hasReason, KilnError } from "../base/errors.js";
import { resolveHost, unreachable } from "./host.js";
import { Kiln } from "./kiln.js";
import type { Progress } from "./types.js";
import { planVmConfig } from "./vm-options.js";

let kilnd: FakeKilnd;
let kiln: Kiln;

before(async () => {
  kilnd = await FakeKilnd.start();
  kiln = await Kiln.connect({ host: kilnd.host });
});

beforeEach(() => {
  kilnd.vms.clear();
  kilnd.calls.length = 0;
});

after(async () => {
  await kiln.close();
  await kilnd.close();
});

describe("Kiln.connect", () => {
  it("says that nobody listens on a socket that was named", async () => {
    const connecting = Kiln.connect({ host: "unix:///nonexistent/kiln.sock" });
    await assert.rejects(connecting, (error) => {
      assert.ok(error instanceof KilnError);
      assert.equal(error.code, Code.Unavailable);
      assert.equal(error.reason, "daemon-not-running");
      return true;
    });
  });

  it("refuses hosts that are no unix socket", () => {
    for (const host of ["tcp://1.2.3.4:5", "/run/kiln.sock", "unix://relative"]) {
      assert.throws(
        () => resolveHost(host, {}, 0),
        (error) => hasReason(error, "bad-host"),
        host,
      );
    }
    assert.throws(
      () => resolveHost(`unix:///${"x".repeat(120)}`, {}, 0),
      (error) => hasReason(error, "bad-host"),
    );
  });

  it("blames KILN_ROOT for a path that it made too long, and takes it from the working directory", () => {
    assert.throws(
      () => resolveHost(undefined, { KILN_ROOT: `/${"x".repeat(120)}` }, 0),
      (error) => error instanceof KilnError && error.hint === "choose a shorter KILN_ROOT",
    );
    const { socket } = resolveHost(undefined, { KILN_ROOT: "own" }, 0);
    assert.equal(socket, join(process.cwd(), "own/run/kiln.sock"));
  });

  it("speaks of the way, not of a group, where a directory on the way can't be entered", () => {
    for (const [code, message] of [
      ["EACCES", /open to this user.*(KILN_ROOT|KILN_HOST)/],
      ["ENOTDIR", /leads nowhere/],
    ] as const) {
      const cause = Object.assign(new Error(`${code}: no, lstat '/r/x'`), {
        code,
        syscall: "lstat",
        path: "/r/x",
      });
      const error = unreachable("/r/x/run/kiln.sock", cause);
      assert.match(error.hint ?? "", message);
      assert.match(error.message, /^look for kilnd at /);
    }
  });

  it("takes the host of its option, then KILN_HOST, then the default", () => {
    const env = { KILN_HOST: "unix:///env.sock", KILN_ROOT: "/r" };
    assert.deepEqual(resolveHost("unix:///opt.sock", env, 0), { socket: "/opt.sock", isDefault: false });
    assert.deepEqual(resolveHost(undefined, env, 0), { socket: "/env.sock", isDefault: false });
    assert.deepEqual(resolveHost(undefined, { KILN_ROOT: "/r" }, 0), {
      socket: "/r/run/kiln.sock",
      isDefault: true,
    });
  });
});

describe("kiln.run", () => {
  it("creates, starts, and removes on dispose", async () => {
    const progress: Progress[] = [];
    {
      await using vm = await kiln.run("debian", { name: "web", onProgress: (step) => progress.push(step) });
      assert.equal(vm.info.status.state, "running");
      assert.deepEqual(kilnd.calls, ["CreateVm debian missing", `StartVm ${vm.id}`]);
    }
    assert.equal(kilnd.vms.size, 0);
    assert.equal(progress[0]?.status, "downloading");
    assert.equal(progress[0]?.total, 10);
  });

  it("holds the program's stdin open unless a command is given", async () => {
    await kiln.run("debian", { name: "a" });
    await kiln.run("debian", { name: "b", command: ["true"] });
    const open = [...kilnd.vms.values()].map((vm) => vm.config?.openStdin);
    assert.deepEqual(open, [true, false]);
  });

  it("passes a refusal on", async () => {
    await assert.rejects(kiln.run("missing"), (error) => hasReason(error, "image-not-found"));
  });

  it("is not upset by a VM that is gone already", async () => {
    const vm = await kiln.run("debian", { name: "web" });
    kilnd.vms.clear();
    await vm.close();
    assert.equal(kilnd.calls.at(-1), `RemoveVm -f ${vm.id}`);
  });
});

describe("planVmConfig", () => {
  it("puts options into the wire's form", () => {
    const config = planVmConfig("nginx", {
      memory: "1GiB",
      disk: 1024,
      env: { A: "1", B: "2=3" },
      addHosts: { db: "10.0.0.1" },
      publish: ["8080:80", { vmPort: 53, protocol: "udp" }],
      restart: "always",
      entrypoint: [],
      ttySize: { columns: 80, rows: 24 },
    });
    assert.deepEqual(config, {
      image: "nginx",
      memoryBytes: String(1024 ** 3),
      diskBytes: "1024",
      env: ["A=1", "B=2=3"],
      addHosts: ["db:10.0.0.1"],
      publish: [
        { hostIp: "0.0.0.0", hostPort: 8080, vmPort: 80, protocol: "tcp" },
        { hostIp: "0.0.0.0", hostPort: 0, vmPort: 53, protocol: "udp" },
      ],
      restart: { name: "always" },
      entrypoint: [],
      entrypointSet: true,
      ttyColumns: 80,
      ttyRows: 24,
    });
  });

  it("refuses sizes that are none", () => {
    for (const memory of ["12 parsecs", -1, 1.5] as never[]) {
      assert.throws(
        () => planVmConfig("x", { memory }),
        (error) => hasReason(error, "bad-size"),
      );
    }
  });
});

describe("handles", () => {
  it("list VMs as an array and as an iteration", async () => {
    kilnd.add("a");
    kilnd.add("b");
    assert.deepEqual(
      (await kiln.vms.list()).map(({ name }) => name),
      ["a", "b"],
    );
    const names: string[] = [];
    for await (const { name, createdAt, status } of kiln.vms.list({ all: true })) {
      names.push(`${name} ${createdAt.toISOString()} ${status.ports[0]?.hostPort}`);
    }
    assert.deepEqual(names, ["a 2026-01-02T03:04:05.000Z 8080", "b 2026-01-02T03:04:05.000Z 8080"]);
  });

  it("only let go of a VM that they did not make", async () => {
    kilnd.add("web");
    {
      await using vm = await kiln.vms.get("web");
      assert.equal((await vm.pause()).status.state, "paused");
      assert.equal((await vm.unpause()).status.state, "running");
      assert.equal((await vm.stop()).status.state, "exited");
    }
    assert.equal(kilnd.vms.size, 1);
  });

  it("give the URL of a published port, and add and remove ports", async () => {
    kilnd.add("web");
    const vm = await kiln.vms.get("web");
    assert.equal(vm.url(80), "http://127.0.0.1:8080");
    assert.throws(
      () => vm.url(81),
      (error) => hasReason(error, "port-not-published"),
    );
    assert.deepEqual(await vm.ports.add("81"), [
      { hostIp: "0.0.0.0", hostPort: 49153, vmPort: 81, protocol: "tcp" },
    ]);
    assert.equal(vm.url(81), "http://127.0.0.1:49153");
    await vm.ports.remove("81");
    assert.throws(() => vm.url(81));
    await assert.rejects(vm.ports.remove("9999:80"), (error) => hasReason(error, "port-not-published"));
    await vm.ports.remove("8080:80");
    assert.deepEqual(await vm.ports.list(), []);
  });

  it("give back the ports of a range when one of them is refused", async () => {
    kilnd.add("web");
    const vm = await kiln.vms.get("web");
    await assert.rejects(vm.ports.add("0-1:90-91"), (error) => hasReason(error, "port-taken"));
    assert.deepEqual(
      (await vm.ports.list()).map(({ vmPort }) => vmPort),
      [80],
    );
  });

  it("read logs with time and stream", async () => {
    kilnd.add("web");
    const chunks: [number, string, string][] = [];
    for await (const { fd, time, data } of kiln.vms.ref("web").logs()) {
      chunks.push([fd, time.toISOString(), Buffer.from(data).toString()]);
    }
    assert.deepEqual(chunks[1], [2, "2026-01-02T03:04:07.123Z", "error\n"]);
  });

  it("take one sample of statistics", async () => {
    for await (const { stats } of kiln.vms.stats([], { once: true })) {
      assert.deepEqual([stats[0]?.cpuPercent, stats[0]?.memoryBytes], [12.5, 1048576]);
    }
  });
});

describe("images, kernels and kilnd", () => {
  it("pull with progress, list, inspect, tag, remove and prune images", async () => {
    const seen: number[] = [];
    const image = await kiln.images.pull("debian:bookworm", {
      onProgress: ({ current }) => seen.push(current),
    });
    assert.deepEqual(seen, [0, 50, 100]);
    assert.equal(image.sizeBytes, 30_000_000);
    assert.deepEqual((await kiln.images.list())[0]?.names, ["docker.io/library/debian:bookworm"]);
    assert.equal((await kiln.images.get("debian")).configJson, '{"os":"linux"}');
    await kiln.images.tag("debian", "mine");
    assert.deepEqual((await kiln.images.remove("mine")).untagged, ["mine"]);
    assert.equal((await kiln.images.prune()).reclaimedBytes, 1000);
  });

  it("import an image from a stream", async () => {
    assert.equal((await kiln.images.import([Buffer.alloc(100_000)], "mine")).sizeBytes, 100_000);
  });

  it("import, list and remove kernels", async () => {
    assert.equal((await kiln.kernels.import("/boot/vmlinuz")).source, "/boot/vmlinuz");
    assert.equal((await kiln.kernels.list())[0]?.isDefault, true);
    assert.equal(await kiln.kernels.remove("debian"), "debian");
  });

  it("build kernels, with progress in objects", async () => {
    const seen: string[] = [];
    const built = await kiln.kernels.build({
      onProgress: ({ current, total, unit }) => seen.push(`${current}/${total} ${unit}`),
    });
    assert.equal(seen.at(-1), "2/2 objects");
    assert.equal(built.kernel?.name, "debian");
    const foreign = await kiln.kernels.build({ architecture: "arm64" });
    assert.deepEqual([foreign.kernel, foreign.imageName], [undefined, "localhost/kiln-kernel:6.1.192-arm64"]);
  });

  it("answer about kilnd", async () => {
    assert.equal((await kiln.version()).apiVersion, "kiln.v1");
    assert.equal((await kiln.info()).cpus, 2);
    assert.equal((await kiln.df()).rows[0]?.sizeBytes, 30_000_000);
    assert.deepEqual((await kiln.prune()).vms, ["gone"]);
  });

  it("follow events from a cursor on", async () => {
    const cursors: number[] = [];
    for await (const { cursor, attributes } of kiln.events({ after: 1 })) {
      assert.equal(attributes.name, "web");
      cursors.push(cursor);
      if (cursor === 3) break;
    }
    assert.deepEqual(cursors, [2, 3]);
  });
});
