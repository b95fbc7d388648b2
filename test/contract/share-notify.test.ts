// What the host changes, told to a guest that asked for it.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { NineCalls, O } from "../fixtures/nine-calls.js";
import { NineClient } from "../fixtures/nine-client.js";
import { skipWithoutCargo } from "./agent-bench.js";
import { ShareBench } from "./share-bench.js";

const NOTICES = 2;

/** Waits until the server has told of that name. */
async function told(client: NineClient, path: string): Promise<void> {
  while (!client.notices.includes(path)) await once(client.socket, "notice");
}

describe("kiln-share: changes by the host", { skip: skipWithoutCargo() }, () => {
  it("are told by their paths, in directories that the guest has come to, and the guest's own are not", async () => {
    await using bench = await ShareBench.open({ args: ["--notify"] });
    for (const name of ["dir", "other"]) await mkdir(join(bench.root, name));
    await bench.give(join(bench.root, "dir"));
    const client = await NineClient.open(await bench.accept(), false, true);
    assert.equal(client.hello.readUInt32LE(28) & NOTICES, NOTICES);
    const nine = new NineCalls(client);
    await nine.start();
    const dir = await nine.at("dir");
    const fid = await nine.create(dir, "of the guest");
    await nine.write(fid, 0, "x");
    await nine.setattr(fid, { mode: 0o600 });
    await nine.rename(dir, "of the guest", dir, "still of the guest");
    await nine.open(O.rdwr | O.trunc, "dir", "still of the guest");
    await nine.unlink(dir, "still of the guest");
    await writeFile(join(bench.root, "other/unseen"), "");
    await writeFile(join(bench.root, "dir/new"), "");
    await told(client, "dir/new");
    await rename(join(bench.root, "dir/new"), join(bench.root, "newer"));
    await told(client, "newer");
    await rename(join(bench.root, "dir"), join(bench.root, "moved"));
    await writeFile(join(bench.root, "moved/later"), "");
    await told(client, "moved/later");
    await rm(join(bench.root, "newer"));
    await writeFile(join(bench.root, "last"), "");
    await told(client, "last");
    const known = ["dir/new", "newer", "dir", "moved", "moved/new", "moved/later", "last"];
    assert.deepEqual(
      client.notices.filter((path) => !known.includes(path)),
      [],
    );
  });

  it("are not told where nobody asked", async () => {
    for (const [args, takes] of [
      [["--notify"], false],
      [[], true],
    ] as const) {
      await using bench = await ShareBench.open({ args });
      const client = await NineClient.open(await bench.accept(), false, takes);
      const nine = new NineCalls(client);
      await nine.start();
      await writeFile(join(bench.root, "new"), "");
      await nine.at("new");
      await nine.getattr(0);
      assert.deepEqual(client.notices, []);
    }
  });

  it("are told while they are many, and a guest that reads none does not fill the server", async () => {
    await using bench = await ShareBench.open({ args: ["--notify"] });
    const client = await NineClient.open(await bench.accept(), false, true);
    const nine = new NineCalls(client);
    await nine.start();
    client.socket.pause();
    for (let round = 0; round < 4; round++)
      for (let index = 0; index < 500; index++)
        await writeFile(join(bench.root, `${"n".repeat(200)}${index}`), "");
    client.socket.resume();
    await writeFile(join(bench.root, "last"), "");
    assert.ok((await nine.getattr(0)).mode > 0);
    assert.ok(client.notices.length > 0);
  });
});
