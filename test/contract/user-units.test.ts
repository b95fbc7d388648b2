// packaging/systemd/user: what systemd itself says of the units, and what a user's manager has no right to.

import assert from "node:assert/strict";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { run } from "../e2e/harness.js";
import { CHECKOUT } from "../fixtures/assets.js";

const UNITS = join(CHECKOUT, "packaging/systemd/user");
/** Need root, a namespace or a user; the last ones another place under a user's manager of systemd 252 than of newer ones. */
const NOT_FOR_USERS =
  /^(?:Protect|Private|Restrict|Capability|Ambient|LockPersonality|SystemCall|NoNewPrivileges|ReadOnly|ReadWrite|Inaccessible|User=|Group=|SocketUser|SocketGroup|State|Configuration|Runtime)/;

let directory = "";
before(async () => {
  directory = await mkdtemp(join(tmpdir(), "user-units-"));
  await mkdir(join(directory, "runtime"), { mode: 0o700 });
  await cp(UNITS, join(directory, "units"), { recursive: true });
});
after(() => rm(directory, { recursive: true, force: true }));

describe("the units for a user's own manager", () => {
  it("ask for nothing that a user's manager may not do, and for no place of root's", async () => {
    const names = await readdir(UNITS);
    assert.equal(names.length, 5);
    for (const name of names) {
      const lines = (await readFile(join(UNITS, name), "utf8")).split("\n");
      assert.deepEqual(
        lines.filter((line) => NOT_FOR_USERS.test(line)),
        [],
        name,
      );
      assert.deepEqual(
        lines.filter((line) => /\/run\/kiln|multi-user|network-online/.test(line)),
        [],
        name,
      );
    }
  });

  it("are whole to systemd", async (t) => {
    const { code } = await run(["sh", "-c", "command -v systemd-analyze"]).catch(() => ({ code: 1 }));
    if (code !== 0) return t.skip("there is no systemd-analyze here");
    const names = await readdir(UNITS);
    const paths = names.map((name) => join(directory, "units", name));
    for (const path of paths) {
      // systemd looks whether what is started is there.
      const text = await readFile(path, "utf8");
      await writeFile(path, text.replaceAll(/\/usr\/bin\/kilnd?\b/g, "/bin/true"));
    }
    const env = { PATH: process.env.PATH, XDG_RUNTIME_DIR: join(directory, "runtime") };
    const said = await run(["systemd-analyze", "--user", "verify", ...paths], { env });
    assert.deepEqual([said.code, said.stdout], [0, ""], said.stderr);
  });
});
