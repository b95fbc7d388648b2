// packaging/ installed in a VM with systemd, with a stand-in for kilnd that does with sockets, cgroups and processes what
// the real one does. What happens is written down by it, and outlives the VM's boots.

import assert from "node:assert/strict";
import { join } from "node:path";
import { CHECKOUT } from "../fixtures/assets.js";
import type { TestKiln } from "./harness.js";

const STANDINS = join(CHECKOUT, "test/fixtures/systemd-host");
const PACKAGING = join(CHECKOUT, "packaging");
const JOURNAL = "/var/log/kiln-units";
const KILN = "kiln --host unix:///run/kiln/kiln.sock";

export class PackagedUnits {
  readonly #kilnOf: () => TestKiln;
  readonly #vm: string;

  /** @param kiln asked once a test runs */
  constructor(kiln: () => TestKiln, vm: string) {
    this.#kilnOf = kiln;
    this.#vm = vm;
  }

  /** As packaging/README.md says, with the service enabled too. */
  async install(): Promise<void> {
    const files: [string, string][] = [
      [`${PACKAGING}/systemd/.`, "/usr/lib/systemd/system/"],
      [`${PACKAGING}/sysusers.d/.`, "/usr/lib/sysusers.d/"],
      [join(STANDINS, "kilnd.pl"), "/usr/bin/kilnd"],
      [join(STANDINS, "kiln.pl"), "/usr/bin/kiln"],
    ];
    for (const [from, to] of files) await this.#kilnOf().ok(["cp", from, `${this.#vm}:${to}`]);
    await this.sh(`
      chmod 755 /usr/bin/kilnd /usr/bin/kiln
      systemd-sysusers
      systemctl daemon-reload
      systemctl enable --now kilnd.socket kilnd.service
    `);
  }

  /** Runs a shell script that must succeed and gives what it prints. */
  async sh(script: string): Promise<string> {
    const result = await this.#kilnOf().kiln(["exec", "-i", this.#vm, "sh", "-eu"], { stdin: script });
    const said = `${result.stderr}${result.stdout}`;
    assert.equal(
      result.code,
      0,
      `the script ended ${result.code ?? result.signal}:\n${script}\n---\n${said}`,
    );
    return result.stdout.trim();
  }

  /** Starts VMs of the stand-in. @returns their processes, in that order */
  async runVms(...names: string[]): Promise<string[]> {
    const lines = await this.sh(names.map((name) => `${KILN} run ${name}`).join("\n"));
    return lines.split("\n").map((line) => line.split(" ")[1] ?? "");
  }

  /** VMs that kilnd knows. Asking starts one where its socket is there. */
  async listed(): Promise<string[]> {
    return linesOf(await this.sh(`${KILN} ps -q`));
  }

  /** Those of the processes that live. */
  async alive(pids: readonly string[]): Promise<string[]> {
    return linesOf(await this.sh(`for pid in ${pids.join(" ")}; do [ ! -e /proc/$pid ] || echo $pid; done`));
  }

  /** What was written down since the last call. */
  async journal(): Promise<string[]> {
    return linesOf(await this.sh(`cat ${JOURNAL}; : > ${JOURNAL}`));
  }
}

function linesOf(text: string): string[] {
  return text.split("\n").filter((line) => line !== "");
}
