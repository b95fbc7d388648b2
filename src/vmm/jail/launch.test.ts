// Real jails around small programs: what is handed over, what is written down, how ends are told.

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { arch, tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { hasReason } from "../../base/errors.js";
import { connectPinned } from "../../base/pinned.js";
import { identifyProcess, isAlive } from "../../base/processes.js";
import { readProcessRecord } from "../process-record.js";
import type { VmmProcess } from "../vmm-process.js";
import { launchVmm } from "./launch.js";
import { type JailRequest, planJail } from "./plan.js";
import { AF_UNIX, jailFilter } from "./seccomp.js";
import type { Architecture } from "./syscalls.js";
import { hostTree } from "./tree.js";
import { judgeJail } from "./verdict.js";

const UID = process.getuid?.() ?? 0;
const verdict = await judgeJail({ uid: UID });
const skip = !verdict.holds && `no jail can be made here: ${verdict.why}`;

describe("a launch in a jail", { skip }, () => {
  let root = "";
  const filter = jailFilter({ architecture: arch() as Architecture, families: [AF_UNIX] });
  before(async () => {
    root = await mkdtemp(join(tmpdir(), "kj-"));
    await writeFile(join(root, "read"), "handed over\n");
    await writeFile(join(root, "write"), "");
  });
  after(() => rm(root, { recursive: true, force: true }));

  async function launch(
    script: string,
    change: Partial<JailRequest> = {},
    patienceMs?: number,
  ): Promise<VmmProcess> {
    const plan = planJail({
      way: verdict.way,
      bwrap: verdict.bwrap ?? "",
      tree: await hostTree(),
      files: [
        { path: join(root, "read"), at: "/read", writable: false, what: "file read" },
        { path: join(root, "write"), at: "/write", writable: true, what: "file write" },
      ],
      devices: [],
      listeners: ["one.sock"],
      network: "empty",
      environment: { PATH: "/usr/bin" },
      runAs: undefined,
      groups: [],
      limits: { openFiles: 256, processes: undefined },
      command: ["/usr/bin/sh", "-c", script],
      ...change,
    });
    const record = {
      vmId: "a".repeat(64),
      driver: "qemu",
      executable: verdict.bwrap ?? "",
      uid: UID,
    } as const;
    const cgroup = Promise.resolve(undefined);
    const request = { plan, filter, environment: {}, runDirectory: root, record, cgroup, patienceMs };
    return (await launchVmm(request)).process;
  }

  it("hands files over, and nothing else that could be written", async () => {
    const vmm = await launch(
      'read line < /read; echo "$line" > /write; echo no > /read; echo no > /new; exit 3',
    );
    assert.deepEqual(await vmm.ended, { code: 3 });
    assert.equal(await readFile(join(root, "write"), "utf8"), "handed over\n");
    assert.equal(await readFile(join(root, "read"), "utf8"), "handed over\n");
    assert.match(vmm.stderrTail(), /new: Read-only file system/);
  });

  it("gives the program its environment, which no command line shows", async () => {
    const mark = "0123.a mark of the owner's";
    const environment = { PATH: "/usr/bin", KILN_OWNER: mark };
    const vmm = await launch('echo "$KILN_OWNER" > /write; exec sleep 1000', { environment });
    while ((await readFile(join(root, "write"), "utf8")) !== `${mark}\n`)
      await new Promise((resolve) => setImmediate(resolve));
    for (const pid of [vmm.spawned, vmm.id.pid]) {
      assert.doesNotMatch(await readFile(`/proc/${pid}/cmdline`, "utf8"), /a mark of the owner/);
    }
    await vmm.kill();
  });

  it("hands a listening socket over, and no other descriptor of ours", async () => {
    const vmm = await launch(
      'for fd in 0 1 2 3 4 5 6 7 8 9; do (eval ": >&$fd") 2>&- && open="$open $fd"; done; echo "$open" > /write',
    );
    await vmm.ended;
    assert.equal(await readFile(join(root, "write"), "utf8"), " 0 1 3\n");
  });

  it("lets clients connect before the program listens, and refuses them after its end", async () => {
    const vmm = await launch("read line < /write; exec sleep 1000");
    const client = await connectPinned(join(root, "one.sock"), [UID]);
    client.on("error", () => undefined);
    const closed = new Promise((resolve) => client.once("close", resolve));
    await vmm.kill();
    await closed;
    await assert.rejects(connectPinned(join(root, "one.sock"), [UID]), (error) =>
      hasReason(error, "connection-refused"),
    );
  });

  it("writes down who runs, and knows the program itself", async () => {
    const vmm = await launch("exec sleep 1000");
    const record = await readProcessRecord(root);
    assert.deepEqual(record?.vmm, vmm.id);
    assert.notEqual(record?.spawned.pid, vmm.id.pid);
    assert.ok(record !== undefined && (await isAlive(record.spawned)));
    await vmm.kill();
    assert.deepEqual(await vmm.ended, { signal: "SIGKILL" });
    assert.equal(await isAlive(vmm.id), false);
  });

  it("sees the end of a program whose monitor was killed", async () => {
    const vmm = await launch("exec sleep 1000");
    const monitor = (await readProcessRecord(root))?.spawned ?? assert.fail("no record");
    process.kill(monitor.pid, "SIGKILL");
    while (await isAlive(monitor)) await new Promise((resolve) => setImmediate(resolve));
    assert.ok(await isAlive(vmm.id), "the program outlives its monitor");
    await vmm.kill();
    assert.equal(await identifyProcess(vmm.id.pid), undefined);
  });

  it("tells why nothing was started", async () => {
    const files = [{ path: join(root, "missing"), at: "/x", writable: false, what: "disk base" }];
    await assert.rejects(launch("true", { files }), /open the VM's disk base/);
    const tree = { binds: [{ from: join(root, "no-tree"), at: "/usr" }], links: [] };
    const vmm = await launch("true", { tree });
    assert.deepEqual(await vmm.ended, { code: 1 });
    assert.match(vmm.stderrTail(), /bwrap: .*no-tree/);
    await assert.rejects(launch("true", { bwrap: "/bin/false" }), (error) => {
      assert.ok(hasReason(error, "vmm-not-started"));
      assert.match((error as Error).message, /in its jail: exit code 1/);
      return true;
    });
  });

  it("does not wait for ever for a bubblewrap that tells nothing, and leaves none", async () => {
    const hung = join(root, "hung");
    await writeFile(hung, "#!/bin/sh\necho it waits for a disk >&2\nexec sleep 1000\n", { mode: 0o755 });
    // Long enough for a shell to start on a busy machine and say its words, which are to be told.
    await assert.rejects(launch("true", { bwrap: hung }, 2_000), (error) => {
      assert.ok(hasReason(error, "vmm-start-hangs"), String(error));
      assert.match((error as Error).message, /told no process within 2 s: it waits for a disk/);
      return true;
    });
    const spawned = (await readProcessRecord(root))?.spawned ?? assert.fail("no record");
    assert.equal(await isAlive(spawned), false);
  });

  it("starts nothing without its filter", async () => {
    const plan = planJail({
      ...{ way: verdict.way, bwrap: verdict.bwrap ?? "", tree: await hostTree(), files: [], devices: [] },
      ...{ listeners: [], network: "empty", environment: {}, runAs: undefined, groups: [] },
      limits: { openFiles: 256, processes: undefined },
      command: ["/usr/bin/sh", "-c", "exit 0"],
    });
    const record = { vmId: "a".repeat(64), driver: "qemu", executable: "", uid: UID } as const;
    const request = {
      plan,
      filter: Buffer.alloc(0),
      environment: {},
      runDirectory: root,
      record,
      cgroup: Promise.resolve(undefined),
    };
    const end = await launchVmm(request).then(({ process: vmm }) => vmm.ended);
    assert.deepEqual(end, { code: 1 });
  });
});

describe("judgeJail", () => {
  it("says what is missing, and what to do", async () => {
    const missing = await judgeJail({ uid: UID, bwrap: "/no/such/bwrap" });
    assert.equal(missing.holds, false);
    assert.match(missing.hint ?? "", /bubblewrap/);
    const useless = await judgeJail({ uid: UID, bwrap: "/bin/false" });
    assert.equal(useless.holds, false);
  });
});
