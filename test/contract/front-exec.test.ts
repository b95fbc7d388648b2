// `kiln exec` by its native front end and by the TypeScript CLI: one suite, so that they are one command. kilnd is a
// fake with the real protocol; test/e2e/cli-exec has the real one.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { constants } from "node:os";
import { after, before, describe, it } from "node:test";
import { eventually, FRONT, type RunOptions, run, TYPESCRIPT } from "../e2e/harness.js";
import { FakeKilnd } from "../fixtures/fake-kilnd.js";
import { holdsBack } from "./front-readers.js";

let kilnd: FakeKilnd;
before(async () => {
  kilnd = await FakeKilnd.start();
  kilnd.add("web");
});
after(() => kilnd.close());

const environment = () => ({
  ...process.env,
  NO_COLOR: "1",
  KILN_HOST: kilnd.host,
  KILN_NODE: process.execPath,
});

/** What the child says first. */
async function firstOutput(child: ChildProcess): Promise<string> {
  const [chunk] = (await once(child.stdout ?? child, "data")) as [Buffer];
  return chunk.toString();
}

for (const [name, command] of [
  ["the front end", FRONT],
  ["the TypeScript CLI", TYPESCRIPT],
] as const) {
  const exec = (args: readonly string[], options: RunOptions = {}) =>
    run([...command, ...args], { ...options, env: { ...environment(), ...options.env } });
  const start = (args: readonly string[]) => {
    const [program = "", ...words] = [...command, ...args];
    return spawn(program, words, { env: environment(), stdio: ["pipe", "pipe", "pipe"] });
  };

  describe(`kiln exec by ${name}`, () => {
    it("gives the program's output and exit code", async () => {
      const out = await exec(["exec", "web", "echo", "a", "b"]);
      assert.deepEqual([out.code, out.stdout, out.stderr], [0, "a b\n", ""]);
      const complaint = await exec(["exec", "web", "complain", "x"]);
      assert.deepEqual([complaint.code, complaint.stdout, complaint.stderr], [0, "", "x\n"]);
      assert.equal((await exec(["exec", "web", "exit", "42"])).code, 42);
    });

    it("says why a program could not be started", async () => {
      const { code, stderr } = await exec(["exec", "web", "nothing-like-this"]);
      assert.deepEqual([code, stderr], [127, "kiln: nothing-like-this: not found\n"]);
    });

    it("reports kilnd's refusal, and asks once", async () => {
      const asked = kilnd.execs.length;
      const { code, stdout, stderr } = await exec(["exec", "nobody", "true"]);
      assert.deepEqual([code, stdout, stderr], [125, "", "kiln: no such VM: nobody\nhint: look\n"]);
      assert.equal(kilnd.execs.length, asked + 1);
    });

    it("shows code and reason with --debug", async () => {
      const { stderr } = await exec(["--debug", "exec", "nobody", "true"]);
      assert.match(stderr, /code not_found, reason vm-not-found\nobject: web\n/);
    });

    it("reports a failure after the start, and does not start the program again", async () => {
      const asked = kilnd.execs.length;
      const broken = await exec(["exec", "web", "break"]);
      assert.deepEqual([broken.code, broken.stderr], [125, "kiln: the VM web has ended\nhint: start it\n"]);
      const vanished = await exec(["exec", "web", "vanish"]);
      assert.equal(vanished.code, 125);
      assert.match(vanished.stderr, /^kiln: kilnd ended the call without the program's exit code\n/);
      assert.equal(kilnd.execs.length, asked + 2);
    });

    it("reports a lost connection, and does not start the program again", async () => {
      const asked = kilnd.execs.length;
      const child = start(["exec", "web", "signals"]);
      let stderr = "";
      child.stderr?.on("data", (chunk: Buffer) => {
        stderr += chunk.toString();
      });
      await eventually("it is asked for", async () => kilnd.execs.length > asked || undefined);
      kilnd.cutConnections();
      const [code] = await once(child, "close");
      assert.equal(code, 125);
      assert.match(
        stderr,
        /^kiln: the connection to kilnd was lost during (VmService\/Exec|Exec of VM web)\nhint: /,
      );
      assert.equal(kilnd.execs.length, asked + 1);
    });

    it("carries a megabyte in and out, and the end of its stdin", async () => {
      const data = randomBytes(1_000_000);
      const child = start(["exec", "-i", "web", "cat"]);
      const hash = createHash("sha256");
      child.stdout?.on("data", (chunk: Buffer) => hash.update(chunk));
      child.stdin?.end(data);
      const [code] = await once(child, "close");
      assert.equal(code, 0);
      assert.equal(hash.digest("hex"), createHash("sha256").update(data).digest("hex"));
    });

    it("leaves stdin alone without -i", async () => {
      const script = '"$@" exec web exit 0; cat';
      const result = await run(["sh", "-c", script, "sh", ...command], {
        env: environment(),
        stdin: "for the next",
      });
      assert.equal(result.stdout, "for the next");
    });

    it("ends with its program while its stdin stays open", async () => {
      const child = start(["exec", "-i", "web", "exit", "5"]);
      const [code] = await once(child, "close");
      assert.equal(code, 5);
    });

    it("passes signals on", async () => {
      const child = start(["exec", "web", "signals"]);
      let stdout = "";
      child.stdout?.on("data", (chunk: Buffer) => {
        stdout += chunk.toString();
      });
      // Before it listens, a signal would end it. (For SIGUSR1, SIGINT and SIGTERM node itself has handlers from the
      // first moment on.)
      await eventually("it listens", async () => (await listensTo(child, "SIGUSR2")) || undefined);
      for (const signal of ["SIGUSR1", "SIGUSR2", "SIGHUP", "SIGQUIT"] as const) {
        child.kill(signal);
        await eventually(`${signal} is heard`, async () => stdout.includes(`got ${signal}`) || undefined);
      }
      child.kill("SIGTERM");
      const [code] = await once(child, "close");
      assert.equal(code, 143);
    });

    // The second has ended, but for its output, when the reader begins to wait.
    for (const program of [["yes"], ["flood", "450000"]]) {
      it(`ends ${program[0]} at the third interrupt, whatever the program and its reader think`, async () => {
        const child = start(["exec", "web", ...program]);
        await firstOutput(child);
        child.stdout?.pause();
        const ended = once(child, "exit");
        const nagging = setInterval(() => child.kill("SIGINT"), 50);
        const [code] = await ended;
        clearInterval(nagging);
        child.stdout?.destroy();
        assert.equal(code, 130);
      });
    }

    it("stops the program while its output is not read", () =>
      holdsBack(kilnd, () => start(["exec", "web", "flood", "50000000"])));

    it("ends as by SIGPIPE where its reader has gone", async () => {
      const child = start(["exec", "web", "yes"]);
      await firstOutput(child);
      child.stdout?.destroy();
      const [code] = await once(child, "close");
      assert.equal(code, 141);
    });

    it("ends so, too, where it waited in a write and its reader closed a socket with data unread", async () => {
      const child = start(["exec", "web", "yes"]);
      await once(child.stdout ?? child, "readable");
      let produced = -1;
      await eventually("nothing more is produced", async () => {
        const still = produced === kilnd.produced;
        produced = kilnd.produced;
        return still || undefined;
      });
      child.stdout?.destroy();
      const [code] = await once(child, "close");
      assert.equal(code, 141);
    });

    it("reads and writes files as it does pipes", async () => {
      const script = '"$@" exec -i web cat < /proc/self/cmdline > /dev/full';
      const full = await run(["sh", "-c", script, "sh", ...command], { env: environment() });
      assert.equal(full.code, 1, "a full disk");
      const result = await run(
        ["sh", "-c", '"$@" exec -i web cat < /etc/passwd | cmp - /etc/passwd', "sh", ...command],
        {
          env: environment(),
        },
      );
      assert.deepEqual([result.code, result.stdout, result.stderr], [0, "", ""]);
    });
  });
}

/** True once the process has a handler of its own for the signal (SigCgt of proc(5)). */
async function listensTo(child: ChildProcess, signal: NodeJS.Signals): Promise<boolean> {
  const status = await readFile(`/proc/${child.pid}/status`, "utf8");
  const caught = BigInt(`0x${/^SigCgt:\s*(\S+)$/m.exec(status)?.[1] ?? "0"}`);
  return ((caught >> BigInt(constants.signals[signal] - 1)) & 1n) === 1n;
}
