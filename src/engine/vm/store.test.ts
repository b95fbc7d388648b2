import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { silentLogger } from "../../base/log.js";
import { VmStore } from "./store.js";

describe("the store of VMs", () => {
  it("removes at a start what a killed kilnd left half written beside a VM's records", async () => {
    const root = await mkdtemp(join(tmpdir(), "kiln-store-"));
    try {
      const store = new VmStore(root, silentLogger);
      const id = "a".repeat(64);
      await mkdir(store.directory(id), { recursive: true });
      for (const name of ["status.json.tmp-0123456789ab", "vm.json.bak.tmp-0123456789ab", "cow"])
        await writeFile(join(store.directory(id), name), "{");
      assert.deepEqual(
        (await store.load()).map(({ record }) => record.id),
        [id],
      );
      assert.deepEqual(await readdir(store.directory(id)), ["cow"]);
    } finally {
      await rm(root, { recursive: true, force: true });
    }
  });
});
