// One VM on kiln's own kernel, from the image of programs that use most of it; tests run shell scripts in it.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { CHECKOUT, debianLayout } from "../fixtures/assets.js";
import { TestKiln } from "./harness.js";

const PROGRAMS = join(CHECKOUT, "test/fixtures/guest");

export class KernelGuest {
  readonly kiln: TestKiln;
  readonly #vm: string;

  private constructor(kiln: TestKiln, vm: string) {
    this.kiln = kiln;
    this.#vm = vm;
  }

  static async start(): Promise<KernelGuest> {
    const kiln = await TestKiln.start({ kernel: "kiln" });
    const guest = new KernelGuest(kiln, "guest");
    try {
      const flags = ["-d", "--name", guest.#vm, "-m", "1g", "-p", "127.0.0.1:0:8080"];
      await kiln.ok(["run", ...flags, debianLayout("containers")]);
    } catch (error) {
      await kiln.dispose();
      throw error;
    }
    return guest;
  }

  dispose(): Promise<void> {
    return this.kiln.dispose();
  }

  /** Where port 8080 of the guest is published: http://127.0.0.1:40001. */
  async url(): Promise<string> {
    return `http://${(await this.kiln.ok(["port", this.#vm, "8080"])).trim()}`;
  }

  /** Runs a shell script that must succeed and gives what it prints. */
  async sh(script: string, options: { user?: string } = {}): Promise<string> {
    const user = options.user === undefined ? [] : ["-u", options.user];
    const argv = ["exec", "-i", ...user, this.#vm, "sh", "-eu"];
    const result = await this.kiln.kiln(argv, { stdin: script });
    const said = `${result.stderr}${result.stdout}`;
    assert.equal(
      result.code,
      0,
      `the script ended ${result.code ?? result.signal}:\n${script}\n---\n${said}`,
    );
    return result.stdout.trim();
  }

  /** Runs a Perl program of test/fixtures/guest. */
  async perl(name: string, ...args: string[]): Promise<string> {
    const stdin = await readFile(join(PROGRAMS, name));
    const argv = ["exec", "-i", this.#vm, "perl", "-", ...args];
    const result = await this.kiln.kiln(argv, { stdin });
    assert.equal(result.code, 0, `${name} ended ${result.code ?? result.signal}:\n${result.stderr}`);
    return result.stdout.trim();
  }
}
