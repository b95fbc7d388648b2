import assert from "node:assert/strict";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { checkNetworks } from "./network-check.js";

describe("kiln doctor on networks", () => {
  let directory = "";
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "kiln-doctor-"));
    for (const name of ["ip", "nft", "dnsmasq"]) {
      await writeFile(join(directory, name), "#!/bin/sh\n");
      await chmod(join(directory, name), 0o755);
    }
  });
  after(() => rm(directory, { recursive: true, force: true }));

  it("is content with the programs, and with a device that opens", async () => {
    const env = { PATH: directory };
    assert.equal((await checkNetworks(env, 0, "/nonexistent")).verdict, "ok", "root needs none");
    assert.equal((await checkNetworks(env, 1000, "/dev/null")).verdict, "ok");
  });

  it("says in one line that an ordinary user can't open the device", async () => {
    const { verdict, found, hint } = await checkNetworks({ PATH: directory }, 1000, "/nonexistent");
    assert.equal(verdict, "warning");
    assert.match(`${found}: ${hint}`, /^\/nonexistent is not this user's to open: as root: chmod 666/);
  });
});
