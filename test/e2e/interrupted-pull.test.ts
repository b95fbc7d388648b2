// A pull that its user gives up: over at once for them, nothing fetched is lost, and kilnd takes it for no failure.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { after, afterEach, before, describe, it } from "node:test";
import { Kiln } from "../../src/sdk/index.js";
import { type FakeRegistry, startFakeRegistry } from "../fixtures/registry/fake-registry.js";
import { type TinyImage, tarOf, tinyImage } from "../fixtures/registry/tiny-image.js";
import { eventually, TestKiln } from "./harness.js";

const MANY = 1_500_000;

let kiln: TestKiln;
let registry: FakeRegistry;
before(async () => {
  registry = await startFakeRegistry();
  kiln = await TestKiln.start({ env: { HOME: "/nonexistent", REGISTRY_AUTH_FILE: undefined } });
});
afterEach(() => {
  registry.intercept = () => false;
});
after(async () => {
  await registry.close();
  await kiln.dispose();
});

interface SlowPull {
  readonly image: TinyImage;
  readonly name: string;
  /** Resolves once the store has the first layer whole and a part of the second, which comes no further. */
  halfway(): Promise<void>;
}

let count = 0;
/** An image whose second layer stops after `MANY` bytes. */
function slowImage(): SlowPull {
  const tars = [400_000, 3_000_000].map((size) => tarOf({ data: randomBytes(size) }));
  const image = tinyImage({ tars, compress: false });
  const repository = `slow${++count}`;
  registry.addImage(repository, "v1", image);
  const [small, large] = image.layers;
  assert.ok(small && large);
  registry.intercept = (request, response) => {
    if (request.url?.endsWith(large.digest) !== true) return false;
    response.setHeader("content-length", large.bytes.length);
    response.write(large.bytes.subarray(0, MANY));
    return true;
  };
  // The registry's view would be too early: what it has sent may still be on its way, or not be stored yet.
  const halfway = async () => {
    await stored("blobs/sha256", small.digest.slice("sha256:".length));
    await stored("ingest", `${large.digest.slice("sha256:".length)}.part`);
  };
  return { image, name: `${registry.host}/${repository}:v1`, halfway };
}

/** Waits until the store has a file of that name with something in it. */
async function stored(directory: string, name: string): Promise<void> {
  const path = join(kiln.root, "data", directory, name);
  await eventually(`${directory}/${name} is there`, async () => {
    const size = await stat(path).then(
      (found) => found.size,
      () => 0,
    );
    return size > 0 ? true : undefined;
  });
}

/** The next pull asks for the rest of the second layer, and for nothing that is there. */
async function assertResumed({ image, name }: SlowPull): Promise<void> {
  registry.intercept = () => false;
  const [small, large] = image.layers;
  const before = registry.requests.length;
  await kiln.ok(["pull", "-q", name]);
  const asked = registry.requests.slice(before).filter(({ path }) => path.includes("/blobs/"));
  assert.deepEqual(
    asked.map(({ path }) => path.slice(path.lastIndexOf("/") + 1)),
    [large?.digest],
    `the layer ${small?.digest} and the config were there`,
  );
  const from = Number(/^bytes=([0-9]+)-$/.exec(asked[0]?.headers.range ?? "")?.[1]);
  assert.ok(from > 0 && from <= MANY, `goes on from ${asked[0]?.headers.range}`);
}

function assertQuietLog(): void {
  const loud = kiln.daemonLog.split("\n").filter((line) => /level=(error|warn)|^\s+at |\\n\s+at /.test(line));
  assert.deepEqual(loud, []);
}

async function interruptedBy(signal: NodeJS.Signals, args: (name: string) => string[]) {
  const slow = slowImage();
  const child = kiln.spawn(args(slow.name));
  const err: Buffer[] = [];
  child.stderr?.on("data", (chunk: Buffer) => err.push(chunk));
  const closed = new Promise<number | null>((resolve) => child.once("close", resolve));
  await slow.halfway();
  child.kill(signal);
  return { slow, code: await closed, stderr: Buffer.concat(err).toString("utf8") };
}

describe("a pull that is given up", () => {
  it("keeps what was fetched on Ctrl-C, and says so in one line", async () => {
    const { slow, code, stderr } = await interruptedBy("SIGINT", (name) => ["pull", "-q", name]);
    assert.equal(code, 130, stderr);
    assert.equal(
      stderr,
      `kiln: pull ${slow.name}: interrupted: what was fetched is kept, and the next pull goes on from there\n`,
    );
    await assertResumed(slow);
    assertQuietLog();
  });

  it("does on SIGTERM", async () => {
    const { slow, code, stderr } = await interruptedBy("SIGTERM", (name) => ["pull", "-q", name]);
    assert.equal(code, 143, stderr);
    await assertResumed(slow);
    assertQuietLog();
  });

  it("does inside run, which makes no VM then", async () => {
    const { slow, code, stderr } = await interruptedBy("SIGINT", (name) => [
      "run",
      "--rm",
      "-q",
      name,
      "true",
    ]);
    assert.equal(code, 130, stderr);
    assert.equal(stderr, `kiln: run ${slow.name}: interrupted: no VM was made\n`);
    assert.equal(await kiln.ok(["ps", "-aq"]), "");
    await assertResumed(slow);
    assertQuietLog();
  });

  it("does where a program of the SDK aborts a pull or a create", async () => {
    await using sdk = await Kiln.connect({ host: `unix://${kiln.socket}`, start: false });
    const slow = slowImage();
    const abort = new AbortController();
    const pulling = sdk.images.pull(slow.name, { signal: abort.signal });
    const failed = assert.rejects(pulling, { codeName: "cancelled", reason: "cancelled" });
    await slow.halfway();
    abort.abort();
    await failed;
    await assertResumed(slow);
    const late = slowImage();
    const leave = new AbortController();
    const creating = sdk.create(late.name, { network: "none", signal: leave.signal });
    const refused = assert.rejects(creating, { codeName: "cancelled", reason: "cancelled" });
    await late.halfway();
    leave.abort();
    await refused;
    await assertResumed(late);
    assertQuietLog();
  });
});
