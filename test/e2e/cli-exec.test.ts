// `kiln exec`: programs beside the main one, with their streams, codes and ends. By the native front end and by the
// TypeScript CLI alone: nobody may be able to tell.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { eventually, FRONT, TestKiln, TYPESCRIPT } from "./harness.js";

let kiln: TestKiln;
before(async () => {
  kiln = await TestKiln.start();
  const image = await busyboxImage(join(kiln.root, "busybox"));
  await kiln.ok(["run", "-q", "-d", "--name", "box", "-e", "FROM=vm", image, "sleep", "100000"]);
});
after(() => kiln.dispose());

const exec = (...args: string[]) => kiln.kiln(["exec", "box", ...args]);
const processes = async () => (await kiln.ok(["exec", "box", "ps", "-o", "args"])).split("\n");

for (const [name, command] of [
  ["kiln exec", FRONT],
  ["kiln exec by the TypeScript CLI", TYPESCRIPT],
] as const) {
  describe(name, () => {
    before(() => {
      kiln.command = command;
    });

    it("gives stdout, stderr and the exit code", async () => {
      const result = await exec("sh", "-c", "echo out; echo err >&2; exit 9");
      assert.deepEqual([result.code, result.stdout, result.stderr], [9, "out\n", "err\n"]);
    });

    it("tells not found, not executable and no such VM apart", async () => {
      assert.equal((await exec("no-such-program")).code, 127);
      assert.equal((await exec("/etc/passwd")).code, 126);
      const nobody = await kiln.kiln(["exec", "nobody", "true"]);
      assert.equal(nobody.code, 125);
      assert.match(nobody.stderr, /nobody/);
    });

    it("runs as the flags say, on top of the VM's environment", async () => {
      const stdout = await kiln.ok([
        "exec",
        "-e",
        "MORE=x",
        "-w",
        "/tmp",
        "-u",
        "1000:1000",
        "box",
        "sh",
        "-c",
        "echo $FROM $MORE; pwd; id -u",
      ]);
      assert.equal(stdout, "vm x\n/tmp\n1000\n");
    });

    it("passes ten megabytes in and out unharmed", async () => {
      const data = randomBytes(10_000_000);
      const sum = createHash("md5").update(data).digest("hex");
      const script = "cat > /tmp/data; busybox md5sum < /tmp/data";
      const stdout = await kiln.ok(["exec", "-i", "box", "sh", "-c", script], { stdin: data });
      assert.equal(stdout.split(" ")[0], sum);
      const child = kiln.spawn(["exec", "box", "cat", "/tmp/data"]);
      const hash = createHash("md5");
      child.stdout?.on("data", (chunk: Buffer) => hash.update(chunk));
      const [code] = await once(child, "close");
      assert.equal(code, 0);
      assert.equal(hash.digest("hex"), sum);
    });

    it("ends when its reader has gone", async () => {
      const child = kiln.spawn(["exec", "box", "yes", "endless"]);
      child.stdout?.once("data", () => child.stdout?.destroy());
      const [code] = await once(child, "close");
      assert.equal(code, 141, "as a program ended by SIGPIPE");
      await eventually("yes is gone from the guest", async () =>
        (await processes()).includes("yes endless") ? undefined : true,
      );
    });

    it("takes its process along when it is killed", async () => {
      const child = kiln.spawn(["exec", "box", "sh", "-c", "echo up; exec sleep 4321"]);
      await once(child.stdout ?? child, "data");
      child.kill("SIGKILL");
      await once(child, "close");
      await eventually("sleep 4321 is gone from the guest", async () =>
        (await processes()).includes("sleep 4321") ? undefined : true,
      );
    });

    it("passes signals on", async () => {
      const child = kiln.spawn([
        "exec",
        "box",
        "sh",
        "-c",
        "trap 'echo bye; exit 3' INT; echo up; while true; do sleep 0.05; done",
      ]);
      let out = "";
      child.stdout?.on("data", (chunk: Buffer) => {
        out += chunk.toString();
        if (out === "up\n") child.kill("SIGINT");
      });
      const [code] = await once(child, "close");
      assert.deepEqual([code, out], [3, "up\nbye\n"]);
    });

    it("leaves the process running with -d", async () => {
      const seconds = command === FRONT ? "8765" : "8766";
      await kiln.ok(["exec", "-d", "box", "sleep", seconds]);
      assert.ok((await processes()).includes(`sleep ${seconds}`));
    });

    it("holds the program back while its output is not read", async () => {
      const child = kiln.spawn([
        "exec",
        "box",
        "sh",
        "-c",
        // Not `yes` and `head`: an emulated guest takes 20 s for as many of their bytes.
        "rm -f /tmp/done; dd if=/dev/zero bs=64k count=800 2>/dev/null; touch /tmp/done",
      ]);
      await once(child.stdout ?? child, "readable");
      assert.equal((await exec("test", "-e", "/tmp/done")).code, 1, "the writer waits");
      child.stdout?.resume();
      const [code] = await once(child, "close");
      assert.equal(code, 0);
      assert.equal((await exec("test", "-e", "/tmp/done")).code, 0);
    });
  });
}
