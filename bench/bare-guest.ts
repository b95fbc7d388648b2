// What the bench measures kiln against: the same kernel and initramfs in the same VMM, with nothing of kiln's engine
// in between: spawn, hello, and for exec a root and a raw call over the channel.

import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { newId } from "../src/base/ids.js";
import { delay } from "../src/base/runtime.js";
import { createCow } from "../src/disk/index.js";
import { EndAction, Mode } from "../src/gen/kiln/agent/v1/machine_pb.js";
import type { InterfaceSchema } from "../src/gen/kiln/agent/v1/net_pb.js";
import {
  type CardSpec,
  createQemuDriver,
  type DiskSpec,
  type VmmDriver,
  type VmmHandle,
} from "../src/vmm/index.js";
import { openWire, type WireSession } from "../test/fixtures/agent-wire.js";
import { defaultInitramfs, defaultKernel, type TestKernel } from "../test/fixtures/assets.js";

const MEMORY = 512 * 1024 ** 2;
const HELLO_MS = 120_000;

export interface BareGuest {
  readonly session: WireSession;
  end(): Promise<void>;
}

/** What a guest is booted with. */
export interface BootFiles {
  readonly kernel: string;
  readonly initrd: string;
}

/** A kernel and its initramfs with the agent; by default what tests boot. */
export async function bootFiles(which?: TestKernel): Promise<BootFiles> {
  return { kernel: (await defaultKernel(which)).vmlinux, initrd: await defaultInitramfs(which) };
}

/** A VMM alone. */
interface BareMachine {
  readonly handle: VmmHandle;
  end(): Promise<void>;
}

let driver: VmmDriver | undefined;

/** One for all, as in kilnd: what it finds out about the host it finds out once. */
function driverOf(scratch: string): VmmDriver {
  driver ??= createQemuDriver({ cacheDirectory: scratch });
  return driver;
}

async function launchBare(
  scratch: string,
  boot: BootFiles,
  disks: readonly DiskSpec[],
  cards: readonly CardSpec[] = [],
): Promise<BareMachine> {
  const directory = await mkdtemp(join(scratch, "b"));
  const [runDirectory, stateDirectory] = [join(directory, "r"), join(directory, "s")];
  await mkdir(runDirectory);
  await mkdir(stateDirectory);
  const handle = await driverOf(scratch).launch({
    vmId: newId(),
    runDirectory,
    stateDirectory,
    ...boot,
    kernelArgs: [],
    vcpus: 1,
    memoryBytes: MEMORY,
    disks,
    cards,
    ports: [],
  });
  return {
    handle,
    async end() {
      await handle.kill();
      await rm(directory, { recursive: true });
    },
  };
}

/** Spawns the VMM and returns at the agent's hello. */
export async function bootBare(
  scratch: string,
  disks: readonly DiskSpec[] = [],
  boot?: BootFiles,
  cards: readonly CardSpec[] = [],
): Promise<BareGuest> {
  const machine = await launchBare(scratch, boot ?? (await bootFiles()), disks, cards);
  const dial = (options: { signal?: AbortSignal | undefined }) => machine.handle.dialChannel(options);
  const session = await openWire(dial, { helloTimeoutMs: HELLO_MS });
  return {
    session,
    async end() {
      await session.close();
      await machine.end();
    },
  };
}

/** Spawns the VMM and returns when its init has said "up" on the console (`static-init.c`). */
export async function bootToConsole(scratch: string, boot: BootFiles): Promise<{ end(): Promise<void> }> {
  const machine = await launchBare(scratch, boot, []);
  await machine.handle.firstOutput;
  // A kernel may have a word of its own first.
  while (!/^up\r?$/m.test(await machine.handle.consoleTail())) await delay(1);
  return machine;
}

/** A card of a bare guest, as its VMM and as its agent is told of it. */
export interface BareCard {
  readonly card: CardSpec;
  readonly guest: MessageInitShape<typeof InterfaceSchema>;
}

/** A bare guest on a base that kiln has made below `dataRoot`, with a program that sleeps. */
export async function bootBareOnBase(
  scratch: string,
  dataRoot: string,
  cards: readonly BareCard[] = [],
): Promise<BareGuest> {
  const bases = join(dataRoot, "bases");
  const [name] = (await readdir(bases, { recursive: true })).filter((path) => path.endsWith("base.ext4"));
  if (name === undefined) throw new Error(`no base is in ${bases}`);
  const base = join(bases, name);
  const cow = join(await mkdtemp(join(scratch, "c")), "cow");
  await createCow(cow, { baseDigest: `sha256:${"ab".repeat(32)}`, baseSizeBytes: 64 * 1024 ** 3 });
  const disks = [
    { id: "base", path: base, readOnly: true },
    { id: "cow", path: cow, readOnly: false },
  ];
  const guest = await bootBare(
    scratch,
    disks,
    undefined,
    cards.map(({ card }) => card),
  );
  await guest.session.client.boot({
    mode: Mode.APP,
    root: { baseDevice: "/dev/vda", cowDevice: "/dev/vdb", persistent: false, chunkSectors: 128 },
    process: { args: ["sleep", "100000"], env: ["PATH=/bin"] },
    endAction: EndAction.POWEROFF,
    ...(cards.length === 0 ? {} : { network: { interfaces: cards.map((one) => one.guest) } }),
  });
  return guest;
}

/** fork + exec of `true` in the guest, asked over the raw channel. */
export async function execTrue(session: WireSession): Promise<void> {
  async function* requests() {
    yield { message: { case: "start" as const, value: { args: ["true"], env: ["PATH=/bin"] } } };
  }
  for await (const { message } of session.client.exec(requests())) {
    if (message.case === "exit" && message.value.code !== 0) throw new Error("true failed in the bare guest");
  }
}

/** Resident bytes of a process. */
export async function residentBytes(pid: number): Promise<number> {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, "utf8"));
  return Number(match?.[1] ?? Number.NaN) * 1024;
}
