// `kiln exec` on a terminal, by its native front end and by the TypeScript CLI: size and keys go to the program, and the
// terminal is as it was afterwards, whatever ended the exec.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { after, before, describe, it } from "node:test";
import { Terminal } from "../e2e/cli-terminal.js";
import { eventually, FRONT, TYPESCRIPT } from "../e2e/harness.js";
import { FakeKilnd } from "../fixtures/fake-kilnd.js";

let kilnd: FakeKilnd;
before(async () => {
  kilnd = await FakeKilnd.start();
  kilnd.add("web");
});
after(() => kilnd.close());

/** Pid of the process that runs exactly these words. */
function pidOf(words: readonly string[]): Promise<number> {
  return eventually(`${words.join(" ")} runs`, async () => {
    for (const entry of await readdir("/proc")) {
      const line = await readFile(`/proc/${entry}/cmdline`, "utf8").catch(() => "");
      if (line === `${words.join("\0")}\0`) return Number(entry);
    }
    return undefined;
  });
}

for (const [name, command] of [
  ["the front end", FRONT],
  ["the TypeScript CLI", TYPESCRIPT],
] as const) {
  const open = (...args: string[]) => {
    const env = { ...process.env, NO_COLOR: "1", KILN_HOST: kilnd.host, KILN_NODE: process.execPath };
    return new Terminal({ command, env }, args);
  };

  /** Its modes are printed last. */
  async function endOf(terminal: Terminal): Promise<number | null> {
    const { code, screen } = await terminal.end();
    assert.match(screen, /(^|[^-])icanon\s*$/, "our terminal was left raw");
    return code;
  }

  describe(`kiln exec -it by ${name}`, () => {
    /** An exec that has its terminal to itself. */
    async function openRaw(): Promise<{ terminal: Terminal; pid: number }> {
      const asked = kilnd.execs.length;
      const args = ["exec", "-it", "web", "cat"];
      const terminal = open(...args);
      await eventually("it is asked for", async () => kilnd.execs.length > asked || undefined);
      const pid = await pidOf([...command, ...args]);
      await eventually("the terminal is raw", async () => {
        const modes = stty(pid, "-a");
        return (modes.includes("-icanon") && modes.includes("-opost")) || undefined;
      });
      return { terminal, pid };
    }

    it("tells the size at the start and when it changes", async () => {
      const { terminal, pid } = await openRaw();
      const config = kilnd.execs.at(-1)?.config;
      assert.deepEqual([config?.tty, config?.stdin, config?.columns, config?.rows], [true, true, 100, 30]);
      stty(pid, "cols", "120", "rows", "40");
      await terminal.until(/\[120x40\]/);
      process.kill(pid, "SIGTERM");
      await endOf(terminal);
    });

    it("passes keys and bytes as they are", async () => {
      const { terminal, pid } = await openRaw();
      const typed = "a\rb\x04\x03\x11\nc";
      terminal.type(typed);
      await terminal.until(new RegExp(typed));
      process.kill(pid, "SIGTERM");
      await endOf(terminal);
    });

    for (const [what, words, code] of [
      ["its program ends", ["web", "exit", "7"], 7],
      ["it is refused", ["nobody", "true"], 125],
      ["the call breaks", ["web", "break"], 125],
      ["there is no such program", ["web", "nothing-like-this"], 127],
    ] as const) {
      it(`gives the terminal back where ${what}`, async () => {
        assert.equal(await endOf(open("exec", "-it", ...words)), code);
      });
    }

    it("ends at Ctrl-C before its program has started", async () => {
      kilnd.execScripts.push(async function* (requests, signal) {
        for await (const { message } of requests) {
          if (message.case === "start") kilnd.execs.push(message.value);
        }
        yield { message: { case: "exit", value: { code: signal.aborted ? 1 : 2 } } };
      });
      const { terminal } = await openRaw();
      terminal.type("\x03");
      assert.equal(await endOf(terminal), 130);
    });

    it("gives the terminal back where a signal ends it", async () => {
      for (const [signal, code] of [
        ["SIGTERM", 143],
        ["SIGINT", 130],
      ] as const) {
        const { terminal, pid } = await openRaw();
        process.kill(pid, signal);
        assert.equal(await endOf(terminal), code);
      }
    });
  });
}

/** stty(1) on the terminal that the process has for its stdin. */
function stty(pid: number, ...args: string[]): string {
  return execFileSync("stty", ["-F", `/proc/${pid}/fd/0`, ...args], { encoding: "utf8" });
}
