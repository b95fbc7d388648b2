// `kiln run` by its native front end and by the TypeScript CLI: one suite, so that they are one command. kilnd is a fake
// with the real protocol; test/e2e/cli-run has the real one. What run and exec share (session.ts) front-exec has.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { constants } from "node:os";
import { text } from "node:stream/consumers";
import { after, before, beforeEach, describe, it } from "node:test";
import { eventually, FRONT, type RunOptions, run, TYPESCRIPT } from "../e2e/harness.js";
import { FakeKilnd } from "../fixtures/fake-kilnd.js";
import { holdsBack } from "./front-readers.js";

let kilnd: FakeKilnd;
before(async () => {
  kilnd = await FakeKilnd.start();
  kilnd.ready = new Set(["image"]);
});
beforeEach(() => {
  kilnd.calls.length = 0;
  kilnd.vms.clear();
});
after(() => kilnd.close());

const environment = () => ({
  ...process.env,
  NO_COLOR: "1",
  KILN_HOST: kilnd.host,
  KILN_NODE: process.execPath,
});
const attached = () =>
  eventually(
    "it is attached",
    async () => kilnd.calls.some((call) => call.startsWith("Attach")) || undefined,
  );
const idOf = (name: string) => [...kilnd.vms.values()].find((vm) => vm.name === name)?.id;

for (const [name, command] of [
  ["the front end", FRONT],
  ["the TypeScript CLI", TYPESCRIPT],
] as const) {
  const kiln = (args: readonly string[], options: RunOptions = {}) =>
    run([...command, ...args], { ...options, env: { ...environment(), ...options.env } });
  const start = (args: readonly string[]) => {
    const [program = "", ...words] = [...command, ...args];
    return spawn(program, words, { env: environment(), stdio: ["pipe", "pipe", "pipe"] });
  };

  describe(`kiln run by ${name}`, () => {
    it("makes a VM, attaches, and gives its program's output and exit code", async () => {
      const out = await kiln(["run", "--name", "urn", "image", "echo", "a", "b"]);
      assert.deepEqual([out.code, out.stdout, out.stderr], [0, "a b\n", ""]);
      assert.deepEqual(kilnd.calls, ["CreateVm image missing", `Attach ${idOf("urn")}`]);
      assert.equal(kilnd.attaches.at(-1)?.start, true);
      const complaint = await kiln(["run", "image", "complain", "x"]);
      assert.deepEqual([complaint.code, complaint.stdout, complaint.stderr], [0, "", "x\n"]);
      assert.equal((await kiln(["run", "--rm", "image", "exit", "42"])).code, 42);
    });

    it("says how it ended where the code alone does not", async () => {
      const ended = async (program: string) => {
        const { code, stdout, stderr } = await kiln(["run", "--rm", "--name", "urn", "image", program]);
        assert.equal(stdout, "");
        return [code, stderr];
      };
      assert.deepEqual(await ended("nothing-like-this"), [127, "kiln: nothing-like-this: not found\n"]);
      assert.deepEqual(await ended("hog"), [
        137,
        "kiln: the guest ran out of memory; give it more with -m\n",
      ]);
      const [code, words] = await ended("panic");
      assert.equal(code, 125);
      assert.match(String(words), /^kiln: VM urn failed: the guest's kernel panicked\nhint: .*console urn/);
    });

    it("reports kilnd's refusal to make one", async () => {
      const { code, stdout, stderr } = await kiln(["run", "missing"]);
      assert.deepEqual([code, stdout, stderr], [125, "", "kiln: no such image: missing\n"]);
      assert.equal(kilnd.vms.size, 0);
    });

    it("shows the progress of an image that is not ready, and makes one VM", async () => {
      const loud = await kiln(["run", "other", "echo", "x"]);
      assert.deepEqual([loud.code, loud.stdout], [0, "x\n"]);
      assert.match(loud.stderr, /aa: Downloading\n/);
      const quiet = await kiln(["run", "-q", "other", "echo", "x"]);
      assert.deepEqual([quiet.code, quiet.stdout, quiet.stderr], [0, "x\n", ""]);
      assert.equal(kilnd.calls.filter((call) => call.startsWith("Attach")).length, 2);
      assert.equal(kilnd.vms.size, 1);
    });

    it("reports a failure after the start, runs nothing again, and removes the VM only with --rm", async () => {
      const words = "kiln: the VM web has ended\nhint: start it\n";
      const kept = await kiln(["run", "--name", "kept", "image", "break"]);
      assert.deepEqual([kept.code, kept.stderr], [125, words]);
      const gone = await kiln(["--host", kilnd.host, "run", "--rm", "--name", "gone", "image", "break"], {
        env: { KILN_HOST: "unix:///nonexistent/kiln.sock" },
      });
      assert.deepEqual([gone.code, gone.stderr], [125, words]);
      assert.deepEqual(
        [...kilnd.vms.values()].map((vm) => vm.name),
        ["kept"],
      );
      const vanished = await kiln(["run", "--rm", "--name", "gone", "image", "vanish"]);
      assert.equal(vanished.code, 125);
      assert.match(vanished.stderr, /^kiln: kilnd ended the call without the program's exit code\n/);
      const verbs = kilnd.calls.map((call) => call.split(" ", 2).join(" "));
      assert.equal(verbs.filter((verb) => verb === "CreateVm image").length, 3);
      assert.equal(verbs.filter((verb) => verb === "RemoveVm -f").length, 2);
    });

    it("reports a connection that is lost while the program runs, and removes the VM with --rm", async () => {
      const child = start(["run", "--rm", "image", "signals"]);
      let stderr = "";
      child.stderr?.on("data", (chunk: Buffer) => {
        stderr += chunk.toString();
      });
      await attached();
      kilnd.cutConnections();
      const [code] = await once(child, "close");
      assert.equal(code, 125);
      assert.match(
        stderr,
        /^kiln: the connection to kilnd was lost during (VmService\/Attach|Attach of VM \S+)\nhint: /,
      );
      assert.equal(kilnd.vms.size, 0);
    });

    it("reports a connection that is lost while the VM is made, and makes no other", async () => {
      const { code, stderr } = await kiln(["run", "cut", "true"]);
      assert.equal(code, 125);
      assert.match(stderr, /^kiln: the connection to kilnd was lost during VmService\/CreateVm\nhint: /);
      assert.deepEqual(kilnd.calls, ["CreateVm cut missing"]);
    });

    it("reports a create that ends without a VM", async () => {
      const { code, stderr } = await kiln(["run", "nothing", "true"]);
      assert.equal(code, 125);
      assert.match(stderr, /^kiln: create a VM.*: kilnd ended the call without one\n/);
      assert.deepEqual(kilnd.calls, ["CreateVm nothing missing"]);
    });

    it("carries stdin and its end with -i, and leaves it alone without", async () => {
      const data = "x".repeat(300_000);
      assert.equal((await kiln(["run", "-i", "image", "cat"], { stdin: data })).stdout, data);
      const script = '"$@" run image exit 0; cat';
      const result = await run(["sh", "-c", script, "sh", ...command], {
        env: environment(),
        stdin: "for the next",
      });
      assert.equal(result.stdout, "for the next");
    });

    it("is ended by a signal while its VM is made, and passes it on to its program afterwards", async () => {
      const early = start(["run", "slow"]);
      await eventually("it is asked for", async () => kilnd.calls.length > 0 || undefined);
      early.kill("SIGTERM");
      const [code, signal] = (await once(early, "close")) as [number | null, NodeJS.Signals | null];
      // To a shell both are the same: the front end dies of it, the TypeScript CLI says first what was kept.
      assert.equal(code ?? 128 + constants.signals[signal ?? "SIGKILL"], 143);
      const child = start(["run", "image", "signals"]);
      let stdout = "";
      child.stdout?.on("data", (chunk: Buffer) => {
        stdout += chunk.toString();
      });
      await attached();
      child.kill("SIGTERM");
      const [ended] = await once(child, "close");
      assert.deepEqual([ended, stdout], [143, "got SIGTERM\n"]);
    });

    it("fails where the guest does not take its signal, and leaves the VM for its user to end", async () => {
      for (const more of [[], ["--rm"]]) {
        kilnd.vms.clear();
        kilnd.calls.length = 0;
        const child = start(["run", ...more, "image", "deaf"]);
        const stderr = text(child.stderr);
        await attached();
        child.kill("SIGTERM");
        const [code] = await once(child, "close");
        assert.deepEqual(
          [code, await stderr],
          [125, "kiln: its guest gave no sign of life\nhint: kill it\n"],
        );
        assert.equal(kilnd.vms.size, 1);
      }
    });

    it("stops the program while its output is not read", () =>
      holdsBack(kilnd, () => start(["run", "image", "flood", "50000000"])));
  });
}
