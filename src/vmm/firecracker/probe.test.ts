// Which Firecracker is found: a real path and the whole of its version.

import assert from "node:assert/strict";
import { mkdtemp, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { FirecrackerProber } from "./probe.js";

it("finds Firecracker behind a link, with the -dev of its version", async () => {
  const directory = await realpath(await mkdtemp(join(tmpdir(), "fc-probe-")));
  try {
    const program = join(directory, "firecracker-v1.17");
    await writeFile(program, "#!/bin/sh\necho 'Firecracker v1.17.0-dev'\n", { mode: 0o755 });
    const firecracker = join(directory, "firecracker");
    await symlink("firecracker-v1.17", firecracker);
    const options = { cacheDirectory: directory, firecracker, trustFirecracker: true };
    const { usable, found } = await new FirecrackerProber(options, async () => undefined).probe();
    assert.equal(usable, true);
    assert.deepEqual([found.path, found.version], [program, "1.17.0-dev"]);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});
