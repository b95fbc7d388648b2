// The rows about VMs: run, create, exec, ps, kilnd's memory, twenty at once.

import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { allocatedBytes } from "../src/base/files.js";
import { Kiln } from "../src/sdk/index.js";
import type { TestKiln } from "../test/e2e/harness.js";
import { busyboxImage } from "../test/fixtures/busybox-image.js";
import { bootBare, bootBareOnBase, bootFiles, execTrue, residentBytes } from "./bare-guest.js";
import { inTurn, limitRow, median, type Row, ratioRow, timed } from "./measure.js";

const MANY = 20;
const RUN_ROUNDS = 9;
const EXEC_ROUNDS = 31;
const MIB = 1024 ** 2;

/** What the rows share: a daemon, an image with its base made, a directory to write in. */
export interface Bench {
  readonly kiln: TestKiln;
  readonly scratch: string;
  readonly image: string;
}

/** The image is in the store under a name, as it is for users: no row pays for reading a layout. */
export async function prepareImage(kiln: TestKiln, scratch: string): Promise<string> {
  await kiln.ok(["pull", await busyboxImage(join(scratch, "busybox"))]);
  const id = (await kiln.ok(["images", "-q"])).trim();
  await kiln.ok(["run", "--rm", id, "true"]);
  return id;
}

/** The same kernel on both sides, for each of the two. */
export async function benchRun({ kiln, scratch, image }: Bench): Promise<Row[]> {
  const rows: Row[] = [];
  for (const [which, whose] of [
    ["debian", "Debian's kernel"],
    ["kiln", "kiln's"],
  ] as const) {
    const boot = await bootFiles(which);
    const [ours = 0, bare = 0] = await inTurn(RUN_ROUNDS, [
      () => kiln.ok(["run", "--rm", "--kernel", which, image, "true"]),
      async () => (await bootBare(scratch, [], boot)).end(),
    ]);
    const name = `\`kiln run --rm IMAGE true\`, against bare QEMU to the agent's hello, ${whose}`;
    rows.push(ratioRow(name, 1.25, ours, bare, `medians of ${RUN_ROUNDS}`));
  }
  return rows;
}

export async function benchCreate({ kiln, image }: Bench): Promise<Row[]> {
  const client = await Kiln.connect({ host: `unix://${kiln.socket}` });
  try {
    const times: number[] = [];
    let bytes = 0;
    for (let round = 0; round < 15; round++) {
      const name = `created${round}`;
      times.push(await timed(() => client.create(image, { name })));
      bytes = Math.max(bytes, await bytesBelow(join(kiln.root, "data", "vms")));
      await kiln.ok(["rm", name]);
    }
    return [
      limitRow("create a VM, base ready", 50, median(times), "ms", "through the SDK, median of 15"),
      limitRow("its size on disk", 1, bytes / MIB, "MiB", "blocks really taken"),
    ];
  } finally {
    await client.close();
  }
}

async function bytesBelow(directory: string): Promise<number> {
  let sum = 0;
  for (const path of await readdir(directory, { recursive: true }))
    sum += await allocatedBytes(join(directory, path));
  return sum;
}

export async function benchExec({ kiln, scratch, image }: Bench): Promise<Row[]> {
  const bare = await bootBareOnBase(scratch, join(kiln.root, "data"));
  const client = await Kiln.connect({ host: `unix://${kiln.socket}` });
  try {
    await kiln.ok(["run", "-d", "--name", "exec", image, "sleep", "100000"]);
    const vm = await client.vms.get("exec");
    const sides = [
      () => execTrue(bare.session),
      async () => void (await vm.exec(["true"], { check: true })),
      () => kiln.ok(["exec", "exec", "true"]),
    ];
    const [raw = 0, sdk = 0, cli = 0] = await inTurn(EXEC_ROUNDS, sides);
    const detail = (ms: number) =>
      `${ms.toFixed(1)} ms against ${raw.toFixed(1)} ms, medians of ${EXEC_ROUNDS}`;
    return [
      limitRow("`kiln exec VM true`, over a raw channel", 60, cli - raw, "ms more", detail(cli)),
      limitRow("`vm.exec` of the SDK, over a raw channel", 5, sdk - raw, "ms more", detail(sdk)),
    ];
  } finally {
    await client.close();
    await bare.end();
    await kiln.ok(["rm", "-f", "exec"]);
  }
}

/** Twenty at once; then, while they run, `ps` and kilnd's memory. */
export async function benchMany({ kiln, scratch, image }: Bench): Promise<Row[]> {
  const client = await Kiln.connect({ host: `unix://${kiln.socket}` });
  const sequential: number[] = [];
  for (let round = 0; round < 5; round++)
    sequential.push(await timed(async () => (await bootBare(scratch)).end()));
  const before = await residentBytes(kiln.daemonPid);
  const names = Array.from({ length: MANY }, (_, i) => `many${i}`);
  try {
    const start = async (name: string) => {
      const vm = await client.create(image, { name, memory: "128MiB", command: ["sleep", "100000"] });
      await vm.start();
      await vm.exec(["true"], { check: true });
    };
    const together = await timed(() => Promise.all(names.map(start)));
    const ps = await inTurn(9, [() => kiln.ok(["ps"])]);
    const after = await residentBytes(kiln.daemonPid);
    const bare = median(sequential) * MANY;
    return [
      ratioRow(
        `${MANY} VMs at once to an exec in each, against ${MANY} bare boots in a row`,
        1.1,
        together,
        bare,
        "all run",
      ),
      limitRow(`\`kiln ps\` with ${MANY} VMs`, 150, ps[0] ?? Number.NaN, "ms", "whole process, median of 9"),
      limitRow(`kilnd's memory with ${MANY} VMs`, 120, after / MIB, "MiB", "resident"),
      limitRow(
        "each VM's share of it",
        1,
        (after - before) / MIB / MANY,
        "MiB",
        `${Math.round(before / MIB)} MiB without VMs`,
      ),
    ];
  } finally {
    await client.close();
    await kiln.ok(["rm", "-f", ...names]);
    for (const left of await readdir(scratch))
      if (left.startsWith("b")) await rm(join(scratch, left), { recursive: true, force: true });
  }
}
