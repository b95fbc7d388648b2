// packaging/ installed in a VM with systemd, with a stand-in for kilnd that does with sockets, cgroups and processes what
// the real one does. What happens is written down by it, and outlives the VM's boots.

import assert from "node:assert/strict";
import { join } from "node:path";
import { CHECKOUT } from "../fixtures/assets.js";
import type { TestKiln } from "./harness.js";

const STANDINS = join(CHECKOUT, "test/fixtures/systemd-host");
const PACKAGING = join(CHECKOUT, "packaging");
const JOURNAL = "/var/log/kiln-units";
const OWN_UID = 4_321;
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

  /** The units of an ordinary user, `own`, whose manager runs as long as the machine. */
  async installForUser(): Promise<void> {
    await this.#kilnOf().ok(["cp", `${PACKAGING}/systemd/user/.`, `${this.#vm}:/usr/lib/systemd/user/`]);
    await this.sh(`
      useradd --create-home --uid ${OWN_UID} own
      # What libpam-systemd tells elsewhere; it is not in this image.
      mkdir -p /etc/systemd/system/user@.service.d
      printf '[Service]\\nEnvironment=XDG_RUNTIME_DIR=/run/user/%%i\\n' > /etc/systemd/system/user@.service.d/place.conf
      systemctl daemon-reload
      systemctl start user@${OWN_UID}.service
    `);
    const units = "kilnd.service kilnd.socket kiln-cgroups.service kiln-vms.service kiln.slice";
    await this.shAsUser(`
      cd /usr/lib/systemd/user
      systemd-analyze --user verify ${units}
      systemctl --user enable --now kilnd.socket kilnd.service
    `);
  }

  /** As `sh`, as that user. */
  shAsUser(script: string): Promise<string> {
    const who = `setpriv --reuid=${OWN_UID} --regid=${OWN_UID} --clear-groups`;
    const env = `env HOME=/home/own XDG_RUNTIME_DIR=/run/user/${OWN_UID}`;
    return this.sh(`${who} ${env} sh -eu <<'END'\n${script}\nEND\n`);
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
