// One VM on kiln's own kernel with a directory of the host at /work, for tests that run real programs on it.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chown, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { type DebianImage, debianLayout } from "../fixtures/assets.js";
import { TestKiln } from "./harness.js";

/** Whose the directory is where the VM's files are one user's. */
const OWNER = 1000;
/** The VM's root, where its users are users of the host. */
const FIRST = 100_000;
const IDMAP = `:idmap=0:${FIRST}:65536`;

/** Why a share can't have the users of its VM here. False where it can. */
export const noUsers = process.getuid?.() === 0 ? false : "users of a VM's own take a kilnd of root (idmap)";

export interface ShareGuestOptions {
  readonly image: DebianImage;
  /** Users of the VM are users of the host. Default: all files are one user's, and root's in the VM. */
  readonly users?: boolean;
}

export class ShareGuest {
  readonly kiln: TestKiln;
  /** The directory of the host. */
  readonly shared: string;

  private constructor(kiln: TestKiln) {
    this.kiln = kiln;
    this.shared = join(kiln.root, "shared");
  }

  static async start({ image, users = false }: ShareGuestOptions): Promise<ShareGuest> {
    const guest = new ShareGuest(await TestKiln.start({ kernel: "kiln" }));
    try {
      await mkdir(guest.shared);
      // Root's kilnd serves as whom a directory belongs to, and as root never.
      if (process.getuid?.() === 0) await chown(guest.shared, users ? FIRST : OWNER, users ? FIRST : OWNER);
      const share = `${guest.shared}:/work${users ? IDMAP : ""}`;
      const flags = ["-d", "--name", "box", "-m", "1g", "--user", "root", "--entrypoint", "sleep"];
      await guest.kiln.ok(["run", ...flags, "-v", share, debianLayout(image), "infinity"]);
    } catch (error) {
      await guest.kiln.dispose();
      throw error;
    }
    return guest;
  }

  dispose(): Promise<void> {
    return this.kiln.dispose();
  }

  /** Runs a shell script in the VM that must succeed. @returns what it prints, without white space around it */
  async sh(script: string, options: { user?: string; timeoutMs?: number } = {}): Promise<string> {
    const user = options.user === undefined ? [] : ["-u", options.user];
    const argv = ["exec", "-i", ...user, "box", "sh", "-eu"];
    const { timeoutMs = 600_000 } = options;
    const { code, signal, stdout, stderr } = await this.kiln.kiln(argv, { stdin: script, timeoutMs });
    assert.equal(code, 0, `the script ended ${code ?? signal}:\n${script}\n---\n${stderr}${stdout}`);
    return stdout.trim();
  }

  /** Runs one on the host, in the shared directory. Git is told that it is ours, whoever's its files are. */
  async host(script: string): Promise<string> {
    const env = {
      ...process.env,
      GIT_CONFIG_COUNT: "1",
      GIT_CONFIG_KEY_0: "safe.directory",
      GIT_CONFIG_VALUE_0: "*",
    };
    const options = { cwd: this.shared, env, maxBuffer: 64 << 20 };
    const { stdout } = await promisify(execFile)("bash", ["-euo", "pipefail", "-c", script], options);
    return stdout.trim();
  }

  /** Gives all below the shared directory to whom it belongs to: what the host has just put there. */
  async give(): Promise<void> {
    if (process.getuid?.() === 0) await this.host("chown -R --no-dereference --reference=. .");
  }
}
