// The driver on a real Firecracker, where one is in PATH, with guests of our own that need no more than what /dev/kvm
// gives here. The jailer's part runs where a `jailer` is there too and the tests are root's.

import assert from "node:assert/strict";
import { once } from "node:events";
import { access, constants, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { after, before, describe, it } from "node:test";
import { hasReason } from "../../src/base/errors.js";
import { isAlive } from "../../src/base/processes.js";
import { findProgram } from "../../src/base/programs.js";
import { delay } from "../../src/base/runtime.js";
import { createFirecrackerDriver, type VmmHandle, type VmmSpec } from "../../src/vmm/index.js";
import { HELLO, makeTinyGuests, type TinyGuest } from "../fixtures/tiny-guests.js";
import { answersContract } from "./firecracker-answers.js";
import { exitsContract } from "./firecracker-exits.js";
import { tellsWhyItDoesNotStart } from "./firecracker-start.js";
import { MIB, VmmBench } from "./vmm-bench.js";

const skip = await whyNot();
const skipUser = skip || (process.getuid?.() !== 0 && "a VM's own user needs root");
const skipJail = skipUser || (await whyNoJail());
const USER = { uid: 54321, gid: 54321 };

async function whyNot(): Promise<string | false> {
  if ((await findProgram("firecracker")) === undefined) return "no firecracker is in PATH";
  const mode = constants.R_OK | constants.W_OK;
  return access("/dev/kvm", mode).then(
    () => false as const,
    () => "/dev/kvm can't be opened",
  );
}

async function whyNoJail(): Promise<string | false> {
  return (await findProgram("jailer")) === undefined ? "no jailer is in PATH" : false;
}

let bench: VmmBench;
let kernels: Readonly<Record<TinyGuest, string>>;
before(async () => {
  if (skip !== false) return;
  // Trusted: its test boot would be that of a whole kernel.
  const makeDriver = (cacheDirectory: string) =>
    createFirecrackerDriver({ cacheDirectory, trustFirecracker: true });
  bench = await VmmBench.open(makeDriver, async (directory) => {
    const made = await makeTinyGuests(directory);
    kernels = made.kernels;
    return { kernel: kernels.idle, initrd: made.initrd };
  });
});
after(() => bench?.[Symbol.asyncDispose]());

function specOf(guest: TinyGuest, change: Partial<VmmSpec> = {}): Promise<VmmSpec> {
  return bench.spec({ kernel: kernels[guest], memoryBytes: 64 * MIB, ...change });
}

async function launch(spec: VmmSpec | Promise<VmmSpec>): Promise<VmmHandle> {
  return bench.adopt(await bench.newDriver().launch(await spec));
}

/** The guest's channel; waits until its driver is up. */
async function channelOf(handle: VmmHandle): Promise<Duplex> {
  for (;;) {
    try {
      return await handle.dialChannel();
    } catch (error) {
      if (!hasReason(error, "nobody-listens")) throw error;
    }
  }
}

/** What comes back of a text. */
async function echo(channel: Duplex, text: string): Promise<string> {
  channel.write(text);
  let heard = "";
  while (heard.length < text.length) {
    const [chunk] = (await once(channel, "data")) as [Buffer];
    heard += chunk.toString("utf8");
  }
  return heard;
}

/** The console is behind the guest by what the FIFO holds. */
async function hello(handle: VmmHandle): Promise<void> {
  await handle.firstOutput;
  while (!(await handle.consoleTail()).includes(HELLO)) await delay(5);
}

describe("a real Firecracker", { skip }, () => {
  it("starts what kiln configures, and brings the guest's console", async () => {
    const disks = [await bench.disk("base", MIB, true), await bench.disk("cow", MIB, false)];
    const handle = await launch(specOf("idle", { disks, vcpus: 2 }));
    await hello(handle);
    assert.ok((await handle.stats()).rssBytes > MIB);
    await handle.kill();
    assert.equal((await handle.exited).cause, "killed");
    assert.equal(await isAlive(handle.record.process), false);
  });

  it("carries the channel, and ends it with a guest that resets", async () => {
    const handle = await launch(specOf("echo"));
    const channel = await channelOf(handle);
    for (const size of [1, 100, 3000]) assert.equal(await echo(channel, "x".repeat(size)), "x".repeat(size));
    const closed = once(channel, "close");
    channel.write("!");
    assert.equal((await handle.exited).cause, "guest-reset");
    await closed;
  });

  it("keeps the channel over pause and resume", async () => {
    const handle = await launch(specOf("echo"));
    const channel = await channelOf(handle);
    assert.equal(await echo(channel, "before"), "before");
    await handle.pause();
    const paused = await handle.stats();
    const answer = echo(channel, "meanwhile");
    await delay(300);
    assert.ok((await handle.stats()).cpuMs - paused.cpuMs < 150, "a paused guest, which polls, uses no CPU");
    await handle.resume();
    assert.equal(await answer, "meanwhile");
    channel.destroy();
    assert.equal(await echo(await channelOf(handle), "a later dial"), "a later dial");
    await handle.kill();
  });

  it("is found again with console, channel, statistics and end", async () => {
    const spec = await specOf("echo");
    const first = await launch(spec);
    await hello(first);
    await first.detach();
    const handle = bench.adopt(
      await bench.newDriver().reattach(JSON.parse(JSON.stringify(first.record)), spec),
    );
    assert.match(await handle.consoleTail(), new RegExp(HELLO));
    assert.equal(await echo(await channelOf(handle), "still there"), "still there");
    // It polls: what is counted are ticks of 10 ms.
    while ((await handle.stats()).cpuMs === 0) await delay(5);
    await handle.kill();
    assert.equal((await handle.exited).cause, "killed");
    await assert.rejects(bench.newDriver().reattach(first.record, spec), (e) => hasReason(e, "vmm-gone"));
  });

  it("answers no dial of a guest without a driver, and is killed all the same", async () => {
    const handle = await launch(specOf("idle"));
    await hello(handle);
    await assert.rejects(handle.dialChannel(), (error) => hasReason(error, "nobody-listens"));
    await handle.kill();
    assert.equal((await handle.exited).cause, "killed");
  });

  it("has crashed where something else ends it, with no chatter as its last words", async () => {
    const handle = await launch(specOf("idle"));
    await hello(handle);
    process.kill(handle.record.process.pid, "SIGKILL");
    const { cause, detail } = await handle.exited;
    assert.deepEqual([cause, detail], ["crashed", "signal SIGKILL"]);
  });

  it("shares no writable disk", async () => {
    const disks = [await bench.disk("cow", MIB, false)];
    const handle = await launch(specOf("idle", { disks }));
    await assert.rejects(launch(specOf("idle", { disks })), (error) => hasReason(error, "disk-in-use"));
    await handle.kill();
  });

  it("tells why it does not start", () => tellsWhyItDoesNotStart(bench));

  answersContract(() => ({ program: "firecracker", isStandin: false, kernel: kernels.idle }));
  exitsContract(() => "firecracker");

  for (const jailer of [undefined, "jailer"] as const) {
    const whose = jailer === undefined ? "kiln's jail" : "its jailer";
    it(
      `runs in ${whose} as the VM's own user, and is found again there`,
      { skip: jailer === undefined ? skipUser : skipJail },
      () => runsAsOwnUser(jailer),
    );
  }

  async function runsAsOwnUser(jailer: string | undefined): Promise<void> {
    const spec = await specOf("echo", { runAs: USER });
    const cacheDirectory = join(bench.root, "cache");
    const driver = createFirecrackerDriver({ cacheDirectory, jailer, trustFirecracker: true });
    const first = bench.adopt(await driver.launch(spec));
    const status = await readFile(`/proc/${first.record.process.pid}/status`, "utf8");
    assert.match(status, new RegExp(`^Uid:\t${USER.uid}\t${USER.uid}\t`, "m"));
    await hello(first);
    await first.detach();
    const handle = bench.adopt(await bench.newDriver().reattach(first.record, spec));
    const channel = await channelOf(handle);
    assert.equal(await echo(channel, "from the jail"), "from the jail");
    channel.write("!");
    assert.equal((await handle.exited).cause, "guest-reset");
  }
});
