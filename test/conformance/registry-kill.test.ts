// A pull that is killed (SIGKILL) at any point: the next start repairs, the next pull resumes, nothing leaks.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { type FakeRegistry, startFakeRegistry } from "../fixtures/registry/fake-registry.js";
import { exitOf } from "../fixtures/registry/programs.js";
import { openStoreLab, type StoreLab } from "../fixtures/registry/store-lab.js";
import { sha256, type TinyImage, tarOf, tinyImage } from "../fixtures/registry/tiny-image.js";

const CHILD = fileURLToPath(new URL("../fixtures/registry/pull-child.js", import.meta.url));
const KILLS = 20;

let registry: FakeRegistry;
let lab: StoreLab;
let image: TinyImage;
beforeEach(async () => {
  registry = await startFakeRegistry();
  lab = await openStoreLab();
  const tars = [2_000_000, 1_500_000, 700_000].map((size) => tarOf({ data: randomBytes(size) }));
  image = tinyImage({ tars, compress: false });
  registry.addImage("a", "v1", image);
});
afterEach(async () => {
  await registry.close();
  await lab[Symbol.asyncDispose]();
});
const name = () => `${registry.host}/a:v1`;

/** Pulls in a process of its own and kills it when `isTime` says so. Returns the lines it has printed. */
async function pullAndKill(isTime: (lines: readonly string[]) => boolean): Promise<string[]> {
  const child = spawn(process.execPath, [CHILD, lab.dataRoot, name()], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = exitOf(child);
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line);
    if (isTime(lines)) child.kill("SIGKILL");
  }
  await ended;
  return lines;
}

/** Whatever bears a digest's name is what the digest says, and nothing half-made is left. */
async function assertSound(): Promise<void> {
  const directory = join(lab.dataRoot, "blobs/sha256");
  for (const hex of await readdir(directory)) {
    assert.equal(sha256(await readFile(join(directory, hex))), `sha256:${hex}`);
  }
  assert.deepEqual(
    (await lab.files()).filter((file) => file.includes(".tmp-")),
    [],
  );
}

describe("a killed pull", () => {
  it("goes on where it was, in the next daemon", async () => {
    const layer = image.layers[0];
    assert.ok(layer);
    registry.intercept = (request, response) => {
      if (!request.url?.endsWith(layer.digest)) return false;
      response.setHeader("content-length", layer.bytes.length);
      response.write(layer.bytes.subarray(0, 1_500_000));
      return true;
    };
    await pullAndKill((lines) =>
      lines.some(
        (line) => line.startsWith(`downloading ${layer.digest} `) && Number(line.split(" ")[2]) > 1_200_000,
      ),
    );
    registry.intercept = () => false;
    const before = registry.requests.length;
    await lab.restart();
    // Up to half a megabyte was in the killed process's buffer.
    const kept = (await lab.store.usage()).ingestBytes;
    assert.ok(kept > 1_200_000 - 512 * 1024, `${kept} bytes kept`);
    await lab.pull(name());
    const again = registry.requests.slice(before).find(({ path }) => path.endsWith(layer.digest));
    const from = Number(/^bytes=([0-9]+)-$/.exec(again?.headers.range ?? "")?.[1]);
    // The other layers' pieces count in what was kept.
    assert.ok(from > 1_200_000 - 512 * 1024 && from <= kept, `resumed at ${from} of ${kept}`);
    await assertSound();
    assert.equal((await lab.store.usage()).ingestBytes, 0);
  });

  it(`leaves nothing that the next start does not repair, killed at ${KILLS} points`, async () => {
    const steps = (await pullAndKill(() => false)).length;
    await lab.restart();
    assert.equal(lab.store.list().length, 1);
    for (let kill = 0; kill < KILLS; kill++) {
      for (const { id } of (await lab.restart()).list()) await lab.store.remove(id);
      await lab.store.collectGarbage();
      assert.deepEqual(await lab.files(), [], "removed with nothing left");
      const at = 1 + Math.floor((kill * steps) / KILLS);
      await pullAndKill((lines) => lines.length >= at);
      await lab.restart();
      await assertSound();
      const listed = lab.store.list();
      assert.ok(
        listed.every(({ names }) => names.includes(name())),
        `killed after step ${at}`,
      );
      const { id } = await lab.pull(name());
      assert.equal(id, image.config.digest);
      assert.equal((await lab.store.usage()).ingestBytes, 0);
    }
  });
});
