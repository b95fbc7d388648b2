// Guests that write without end: to their console, to their output, to somebody who does not read. kilnd's memory and
// disk stay bounded, and the VM can still be looked into and stopped.

import assert from "node:assert/strict";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { busyboxImage } from "../fixtures/busybox-image.js";
import { peakMemory } from "../fixtures/hostile/memory.js";
import { eventually, TestKiln } from "./harness.js";

const MIB = 1024 * 1024;
const SEGMENT = MIB;
const KEEP = 4 * MIB;
/** What a flood may cost kilnd beyond what it takes anyway. */
const MOST_GROWTH = 64 * MIB;

let kiln: TestKiln;
let image = "";
before(async () => {
  kiln = await TestKiln.start({ daemonArgs: ["--output-segment=1m", "--output-keep=4m"] });
  image = await busyboxImage(join(kiln.root, "busybox"));
  // Whatever a first VM makes kilnd load is no growth of a later one.
  await kiln.ok(["run", "--rm", "--network", "none", image, "true"]);
});
after(() => kiln.dispose());

/** Starts a VM, lets `watch` look at its flood, and stops it; kilnd must not have grown. */
async function flooded(command: readonly string[], watch: (vm: string) => Promise<void>): Promise<void> {
  const before = await peakMemory(kiln);
  const vm = (await kiln.ok(["run", "-d", "--network", "none", image, ...command])).trim();
  await watch(vm);
  assert.equal((await kiln.ok(["exec", vm, "echo", "still here"])).trim(), "still here");
  await kiln.ok(["stop", "-t", "1", vm]);
  assert.match(await kiln.ok(["ps", "-a"]), /Exited \(1(37|43)\)/);
  await kiln.ok(["rm", vm]);
  const grown = (await peakMemory(kiln)) - before;
  assert.ok(grown < MOST_GROWTH, `kilnd grew by ${grown} bytes`);
}

async function sizes(directory: string): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  for (const name of await readdir(directory)) {
    // Rotated away meanwhile: it takes nothing.
    const size = await stat(join(directory, name)).then(
      (file) => file.size,
      () => 0,
    );
    found.set(name, size);
  }
  return found;
}

const sum = (found: ReadonlyMap<string, number>) =>
  [...found.values()].reduce((total, size) => total + size, 0);

describe("a guest that floods", () => {
  it("its console fills two files of 1 MiB and no more", () =>
    flooded(["sh", "-c", "exec yes kiln > /dev/console"], async (vm) => {
      const directory = join(kiln.root, "data", "vms", vm, "vmm");
      const consoles = async () =>
        new Map([...(await sizes(directory))].filter(([name]) => /console/.test(name)));
      await eventually("the console's log is rotated", async () =>
        (await consoles()).size > 1 ? true : undefined,
      );
      await kiln.ok(["exec", vm, "sleep", "2"]);
      // In the middle of a rotation there is one.
      await eventually("there are two files", async () => {
        const now = await consoles();
        assert.ok(now.size <= 2, [...now.keys()].join());
        assert.ok(sum(now) <= 2 * MIB, `${sum(now)} bytes`);
        return now.size === 2 ? true : undefined;
      });
      const shown = await kiln.ok(["logs", "--console", "--tail", "3", vm]);
      assert.match(shown, /^kiln$/m);
    }));

  it("its output fills what is kept and no more, oldest first to go", () =>
    flooded(["yes", "kiln"], async (vm) => {
      const directory = join(kiln.root, "data", "vms", vm, "log");
      const first = (await readdir(directory)).sort()[0];
      await eventually("the oldest output is gone", async () => {
        const now = await sizes(directory);
        assert.ok(sum(now) <= KEEP + 2 * SEGMENT, `${sum(now)} bytes are kept`);
        return first !== undefined && !now.has(first) ? true : undefined;
      });
      // The last line may be one that is being written.
      assert.match(await kiln.ok(["logs", "--tail", "3", vm]), /^kiln\nkiln\nk/);
    }));

  it("an exec that nobody reads waits, and ends when its reader goes", () =>
    flooded(["sleep", "100000"], async (vm) => {
      const deaf = kiln.spawn(["exec", vm, "yes", "flood"]);
      const running = async () => / yes flood$/m.test(await kiln.ok(["exec", vm, "ps"]));
      await eventually("the flood has begun", async () => ((await running()) ? true : undefined));
      await kiln.ok(["exec", vm, "sleep", "2"]);
      assert.ok(await running(), "it waits for its reader");
      deaf.kill("SIGKILL");
      await eventually("the flood has ended", async () => ((await running()) ? undefined : true));
    }));
});
