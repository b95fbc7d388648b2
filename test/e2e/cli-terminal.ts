// A terminal for the CLI in tests: script(1) gives it a real one, the test types and waits for what appears.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { deferred } from "../../src/base/runtime.js";
import type { TestKiln } from "./harness.js";

const DEADLINE_MS = 300_000;

export class Terminal {
  readonly #child: ChildProcess;
  readonly #ended = deferred<number | null>();
  #screen = "";
  /** Where the next `until` begins to look. */
  #seen = 0;
  #wake: () => void = () => undefined;
  /** All that it has said is on the screen: its exit code may be known before that. */
  #isOver = false;

  /** Runs `kiln ARGS` on a terminal of 100 columns and 30 rows. */
  constructor(kiln: Pick<TestKiln, "command" | "env">, args: readonly string[]) {
    const words = [...kiln.command, ...args].map((word) => `'${word.replaceAll("'", "'\\''")}'`);
    const line = `stty cols 100 rows 30; ${words.join(" ")}; code=$?; stty -a | grep -o '[-]*icanon'; exit $code`;
    this.#child = spawn("script", ["-qfec", line, "/dev/null"], {
      env: { ...kiln.env, TERM: "xterm", SHELL: "/bin/sh" },
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#child.stdout?.on("data", (chunk: Buffer) => {
      this.#screen += chunk.toString("utf8");
      this.#wake();
    });
    this.#child.once("close", (code) => {
      this.#isOver = true;
      this.#ended.resolve(code);
      this.#wake();
    });
  }

  type(text: string): void {
    this.#child.stdin?.write(text);
  }

  /** Waits until something new on the screen matches. */
  async until(pattern: RegExp): Promise<string> {
    const deadline = Date.now() + DEADLINE_MS;
    for (;;) {
      const match = pattern.exec(this.#screen.slice(this.#seen));
      if (match !== null) {
        this.#seen += match.index + match[0].length;
        return match[0];
      }
      assert.ok(!this.#isOver, `ended while waiting for ${pattern}:\n${this.#screen}`);
      assert.ok(Date.now() < deadline, `waited in vain for ${pattern}:\n${this.#screen}`);
      await this.#change();
    }
  }

  /** Waits for the end; gives the exit code and the whole screen. */
  async end(): Promise<{ code: number | null; screen: string }> {
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), DEADLINE_MS);
    const code = await this.#ended.promise;
    clearTimeout(timer);
    return { code, screen: this.#screen };
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, 1000);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
