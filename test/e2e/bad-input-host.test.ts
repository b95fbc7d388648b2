// What the host can't give: disk, memory, a kernel. Refused before it hurts, with what is there and what is needed;
// guests that run into a full disk stand still and lose nothing.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, it } from "node:test";
import { seedKernel } from "../fixtures/assets.js";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { assertNothingLeft, dataFiles } from "../fixtures/hostile/leftovers.js";
import { assertRefused, literally } from "../fixtures/hostile/refusal.js";
import { mountSmallDisk } from "../fixtures/hostile/small-disk.js";
import { archiveBytes } from "../fixtures/images/tar-writer.js";
import { startFakeRegistry } from "../fixtures/registry/fake-registry.js";
import { tinyImage } from "../fixtures/registry/tiny-image.js";
import { eventually, FRONT, TestKiln, TYPESCRIPT } from "./harness.js";

const MIB = 1024 * 1024;

/** Room for the modules disk (some 90 MiB) and a little more. */
const disk = mountSmallDisk(192 * MIB);

describe("a full disk", { skip: typeof disk === "string" ? disk : false }, () => {
  if (typeof disk === "string") return;
  const data = join(disk.path, "data");
  let kiln: TestKiln;
  let scratch = "";
  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), "kiln-full-"));
    // Kernels are large and none of this test's business: they stay on the large disk.
    await seedKernel(scratch);
    await chmod(scratch, 0o711);
    await mkdir(data);
    await symlink(join(scratch, "kernels"), join(data, "kernels"));
    kiln = await TestKiln.start({ daemonArgs: [`--data-root=${data}`, "--disk-reserve=8m"] });
  });
  afterEach(() => disk.empty());

  /** In VM writer, without end; it says when it has begun. */
  function waitingExec([program = "", ...words]: readonly string[]) {
    const args = [...words, "exec", "writer", "sh", "-c", "echo begun; exec sleep 100000"];
    return spawn(program, args, { env: kiln.env, stdio: ["ignore", "pipe", "ignore"] });
  }

  after(async () => {
    await kiln.dispose();
    disk.unmount();
    await rm(scratch, { recursive: true, force: true });
  });

  it("is told before a pull, with what is free and what is needed", async () => {
    await disk.leaveFree(2 * MIB);
    const result = await kiln.kiln(["pull", "127.0.0.1:1/any:v1"]);
    const message = new RegExp(
      `^pull 127\\.0\\.0\\.1:1/any:v1: only 2\\.[01]\\d?MB are free at ${literally(data)}, 8\\.39MB are needed$`,
    );
    assertRefused(result, { code: 1, message, hint: /kiln system prune/ });
    await assertNothingLeft(kiln, data);
  });

  it("is told before a layer is fetched that has no room", async () => {
    await using registry = await startFakeRegistry();
    const { layers, config } = tinyImage();
    const [layer] = layers;
    assert.ok(layer);
    const huge = { mediaType: layer.mediaType, digest: layer.digest, size: 1024 * MIB };
    registry.addImage("huge", "v1", tinyImage({ manifest: { layers: [huge] } }));
    registry.addBlob(config);
    const name = `${registry.host}/huge:v1`;
    const result = await kiln.kiln(["run", "--rm", name, "true"]);
    const message = new RegExp(
      `^pull ${literally(name)}: only [\\d.]+MB are free at \\S+, 1\\.08GB are needed$`,
    );
    assertRefused(result, { message, hint: /kiln system prune/ });
    assert.deepEqual(registry.asked(layer.digest), [], "not a byte was asked for");
    await assertNothingLeft(kiln, data);
  });

  it("that fills up during a pull ends it and leaves nothing of it", async () => {
    await using registry = await startFakeRegistry();
    const image = tinyImage({
      tars: [archiveBytes([{ path: "noise", data: randomBytes(16 * MIB) }])],
      compress: false,
    });
    registry.addImage("fills", "v1", image);
    const [layer] = image.layers;
    assert.ok(layer);
    registry.intercept = (request, response) => {
      if (request.url?.endsWith(layer.digest) !== true) return false;
      // Somebody else takes the room that there was when the pull began.
      void disk.leaveFree(4 * MIB).then(() => response.end(layer.bytes));
      return true;
    };
    const name = `${registry.host}/fills:v1`;
    const result = await kiln.kiln(["run", "--rm", name, "true"]);
    assertRefused(result, {
      message: new RegExp(`^pull ${literally(name)}: .*no space left on device`),
      hint: /free space/,
    });
    await disk.empty();
    await assertNothingLeft(kiln, data);
  });

  it("that fills up while an image is unpacked costs the base and not the image", async () => {
    const text = Buffer.alloc(48 * MIB, "not zero, and yet it compresses well; ");
    const extra = [{ path: "text", data: text }];
    const image = await busyboxImage(join(scratch, "unpacks"), { extra });
    await disk.leaveFree(24 * MIB);
    const result = await kiln.kiln(["create", image]);
    assertRefused(result, {
      code: 1,
      message: /^build the base of image localhost\/unpacks:latest: .*no space left on device/,
      hint: /free space/,
    });
    assert.deepEqual(
      (await dataFiles(kiln, data)).filter((path) => /^(bases|vms|ingest)\//.test(path)),
      [],
    );
    await disk.empty();
    await kiln.ok(["create", "--pull=never", "localhost/unpacks:latest"]);
    await kiln.ok(["system", "prune", "-af"]);
    await assertNothingLeft(kiln, data);
  });

  it("ends an import and leaves nothing of it", async () => {
    await disk.leaveFree(16 * MIB);
    const tar = archiveBytes([{ path: "noise", data: randomBytes(24 * MIB) }]);
    const result = await kiln.kiln(["image", "import", "-", "large:v1"], { stdin: tar });
    assertRefused(result, {
      code: 1,
      message: /^import large:v1: .*no space left on device/,
      hint: /free space/,
    });
    await assertNothingLeft(kiln, data);
  });

  it("stops a guest in its write, and lets it go on once there is room", async () => {
    const image = await busyboxImage(join(scratch, "writes"));
    await kiln.ok(["run", "-d", "--name", "writer", "--network", "none", image, "sleep", "100000"]);
    const waiting = [FRONT, TYPESCRIPT].map((command) => waitingExec(command));
    for (const { stdout } of waiting) await once(stdout, "data");
    await disk.leaveFree(9 * MIB);
    const writing = kiln.kiln([
      "exec",
      "writer",
      "sh",
      "-c",
      "dd if=/dev/urandom of=/file bs=1M count=24 && sync && stat -c %s /file",
    ]);
    const state = async () =>
      JSON.parse(await kiln.ok(["inspect", "writer"]))[0].status as {
        state: string;
        reason: string;
        message: string;
      };
    const stalled = await eventually("the VM stands still", async () => {
      const now = await state();
      return now.state === "paused" ? now : undefined;
    });
    assert.equal(stalled.reason, "host-disk-full");
    // QEMU meets the full disk itself; of others kilnd, which watches, sees it coming.
    assert.match(stalled.message, /the host's disk (is full|are free)/);
    assert.match(await kiln.ok(["ps"]), /\(Paused: host-disk-full\)/);
    assert.match(kiln.daemonLog, /(stands still|is stopped): the host's disk is full/);
    assertRefused(await kiln.kiln(["exec", "writer", "true"]), {
      message: /^cannot exec in VM writer: it stands still, because the host's disk is full$/,
      hint: /kiln system prune/,
    });
    for (const child of waiting) {
      const ended = once(child, "close");
      child.kill("SIGTERM");
      assert.deepEqual(await ended, [143, null], "the guest can't answer, so the client ends by itself");
    }
    await disk.empty();
    await eventually("the VM goes on", async () => ((await state()).state === "running" ? true : undefined));
    const written = await writing;
    assert.equal(written.code, 0, written.stderr);
    assert.match(written.stderr, /^kiln: the host's disk is full; VM writer waits until there is room$/m);
    assert.equal(written.stdout.trim(), String(24 * MIB));
    await kiln.ok(["rm", "-f", "writer"]);
  });

  it("costs no byte of a VM's output, and keeps nobody from it", async () => {
    const image = await busyboxImage(join(scratch, "prints"));
    const count = "i=0; while :; do echo $i; i=$((i+1)); sleep 0.05; done";
    await kiln.ok(["run", "-d", "--name", "printer", "--network", "none", image, "sh", "-c", count]);
    const last = async () => Number((await kiln.ok(["logs", "--tail", "1", "printer"])).trim());
    await disk.leaveFree(0);
    // What was counted in the guest meanwhile could not be stored here.
    await eventually("output waits in the guest", async () => {
      const before = await last();
      // A second of the guest's; where the host watch stops the guest first, that is refused or goes no further.
      await kiln.kiln(["exec", "printer", "sleep", "1"], { timeoutMs: 5_000 });
      return (await last()) === before ? true : undefined;
    });
    assert.match(await kiln.ok(["ps"]), /printer/);
    await disk.empty();
    const waiting = await last();
    await eventually("the output goes on", async () => ((await last()) > waiting + 20 ? true : undefined));
    await kiln.ok(["stop", "-t", "1", "printer"]);
    const lines = (await kiln.ok(["logs", "printer"])).trim().split("\n");
    assert.deepEqual(
      lines,
      Array.from(lines, (_, n) => String(n)),
    );
    await kiln.ok(["rm", "printer"]);
  });
});

describe("memory, CPUs and kernels that are not there", () => {
  let kiln: TestKiln;
  let image = "";
  before(async () => {
    kiln = await TestKiln.start();
    image = await busyboxImage(join(kiln.root, "busybox"));
  });
  after(() => kiln.dispose());

  for (const [what, flags, message, hint] of [
    [
      "more memory than the host has",
      ["--memory", "9t"],
      /^create a VM: 9TiB of memory were asked for, the host has [\d.]+GiB$/,
      /--memory/,
    ],
    [
      "more CPUs than the host has",
      ["--cpus", "5000"],
      /^create a VM: 5000 CPUs were asked for, the host has \d+$/,
      /--cpus/,
    ],
    ["a kernel that nobody imported", ["--kernel", "nobody"], /^no such kernel: nobody$/, /kiln kernel ls/],
  ] as const) {
    it(`${what}: refused before the image is fetched`, async () => {
      assertRefused(await kiln.kiln(["run", "--rm", ...flags, image, "true"]), { message, hint });
      await assertNothingLeft(kiln);
    });
  }

  for (const [what, bytes, why] of [
    ["noise", randomBytes(200_000), "not a kernel that kiln can boot"],
    ["a script", Buffer.from("#!/bin/sh\necho kernel\n"), "not a kernel that kiln can boot: it is a script"],
    ["a program", readFileSync("/bin/busybox"), "not a kernel that kiln can boot"],
    ["an empty file", Buffer.alloc(0), "not a kernel that kiln can boot"],
  ] as const) {
    it(`import of ${what} as a kernel is refused`, async () => {
      const path = join(kiln.root, "kernel");
      await writeFile(path, bytes);
      const before = await readdir(join(kiln.root, "data", "kernels"));
      const result = await kiln.kiln(["kernel", "import", path]);
      assertRefused(result, {
        code: 1,
        message: new RegExp(`^import the kernel ${literally(path)}: ${why}`),
        hint: /vmlinux/,
      });
      assert.deepEqual(await readdir(join(kiln.root, "data", "kernels")), before);
      await assertNothingLeft(kiln);
    });
  }

  it("import of a kernel image without a kernel is refused, and the image not kept", async () => {
    const result = await kiln.kiln(["kernel", "import", image]);
    assertRefused(result, {
      code: 1,
      message: new RegExp(`^image ${literally(image)} holds no /boot/vmlinux$`),
      hint: /\/boot\/vmlinux/,
    });
    await kiln.ok(["system", "prune", "-af"]);
    await assertNothingLeft(kiln);
  });
});
