// `npm run bench -- --beside CHECKOUT`: kiln of this checkout and of another one that is built, turn by turn in one run.
// Two runs of the table, one after the other, differ by more than a release may cost: the machine is shared.

import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Kiln, Vm } from "../src/sdk/index.js";
import type { TestKiln } from "../test/e2e/harness.js";
import { CHECKOUT } from "../test/fixtures/assets.js";
import { residentBytes } from "./bare-guest.js";
import { inTurn, median, medianRange, samplesInTurn, timed } from "./measure.js";
import { prepareImage } from "./vms.js";

const RUN_ROUNDS = 31;
const CREATE_ROUNDS = 61;
const EXEC_ROUNDS = 61;
const MANY = 12;
const MANY_ROUNDS = 7;
/** kilnd removes a VM behind the end of its `run --rm`: the next run is not to pay for it. */
const REST_MS = 150;
const MIB = 1024 ** 2;
/** No row of a release may be slower than the one before by more. */
const MOST = 1.05;

/** One checkout's daemon, client and image. */
interface Side {
  readonly kiln: TestKiln;
  readonly client: Kiln;
  readonly image: string;
}

/** The figures of each side, taken in pairs. */
interface Comparison {
  readonly name: string;
  readonly unit: string;
  readonly before: readonly number[];
  readonly now: readonly number[];
}

/** @param other a checkout on which set-up ran, with its tests */
export async function benchBeside(other: string, scratch: string): Promise<string> {
  const open: Side[] = [];
  try {
    for (const checkout of [other, CHECKOUT]) open.push(await openSide(checkout, scratch));
    const [before, now] = open as [Side, Side];
    const rows: Comparison[] = [];
    for (const row of [runRow("debian"), runRow("kiln"), createRow, execRows, manyRows])
      rows.push(...(await row(before, now)));
    return render(rows);
  } finally {
    for (const { client, kiln } of open) {
      await client.close();
      await kiln.dispose();
    }
  }
}

async function openSide(checkout: string, scratch: string): Promise<Side> {
  const load = (path: string) => import(pathToFileURL(join(checkout, "dist", path)).href);
  const { TestKiln: Harness } = (await load("test/e2e/harness.js")) as { TestKiln: typeof TestKiln };
  const { Kiln: Client } = (await load("src/sdk/index.js")) as { Kiln: typeof Kiln };
  const kiln = await Harness.start({ kernel: "kiln", moreKernels: ["debian"] });
  const image = await prepareImage(kiln, scratch);
  return { kiln, client: await Client.connect({ host: `unix://${kiln.socket}` }), image };
}

const runRow = (kernel: string) => async (before: Side, now: Side) => {
  const run =
    ({ kiln, image }: Side) =>
    () =>
      kiln.ok(["run", "--rm", "--kernel", kernel, image, "true"]);
  const times = await samplesInTurn(RUN_ROUNDS, [run(before), run(now)], REST_MS);
  return [ms(`\`kiln run --rm IMAGE true\`, kernel ${kernel}`, times)];
};

async function createRow(before: Side, now: Side): Promise<Comparison[]> {
  const times: number[][] = [[], []];
  const sizes: number[][] = [[], []];
  for (let round = 0; round < CREATE_ROUNDS; round++) {
    for (const [index, { kiln, client, image }] of thereAndBack(round, [before, now])) {
      let vm: Vm | undefined;
      times[index]?.push(await timed(async () => (vm = await client.create(image))));
      sizes[index]?.push((await takenBelow(join(kiln.root, "data", "vms"))) / 1024);
      await vm?.remove();
    }
  }
  return [ms("create a VM", times), comparison("its size on disk", "KiB", sizes)];
}

async function takenBelow(directory: string): Promise<number> {
  let blocks = 0;
  for (const path of await readdir(directory, { recursive: true }))
    blocks += (await stat(join(directory, path))).blocks;
  return blocks * 512;
}

async function execRows(before: Side, now: Side): Promise<Comparison[]> {
  const sides = [before, now];
  for (const { kiln, image } of sides)
    await kiln.ok(["run", "-d", "--name", "exec", image, "sleep", "100000"]);
  const cli = await samplesInTurn(
    EXEC_ROUNDS,
    sides.map(
      ({ kiln }) =>
        () =>
          kiln.ok(["exec", "exec", "true"]),
    ),
  );
  const vms = await Promise.all(sides.map(({ client }) => client.vms.get("exec")));
  const sdk = await samplesInTurn(
    EXEC_ROUNDS,
    vms.map((vm) => async () => void (await vm.exec(["true"], { check: true }))),
  );
  for (const { kiln } of sides) await kiln.ok(["rm", "-f", "exec"]);
  return [ms("`kiln exec VM true`", cli), ms("`vm.exec` of the SDK", sdk)];
}

/** Several at once, one side after the other; then, while they run, `ps` and kilnd's memory. */
async function manyRows(before: Side, now: Side): Promise<Comparison[]> {
  const [together, ps, memory]: [number[][], number[][], number[][]] = [
    [[], []],
    [[], []],
    [[], []],
  ];
  const names = Array.from({ length: MANY }, (_, i) => `many${i}`);
  for (let round = 0; round < MANY_ROUNDS; round++) {
    for (const [index, { kiln, client, image }] of thereAndBack(round, [before, now])) {
      const start = async (name: string) => {
        const vm = await client.create(image, { name, memory: "128MiB", command: ["sleep", "100000"] });
        await vm.start();
        await vm.exec(["true"], { check: true });
      };
      together[index]?.push(await timed(() => Promise.all(names.map(start))));
      ps[index]?.push(...(await inTurn(5, [() => kiln.ok(["ps"])])));
      memory[index]?.push((await residentBytes(kiln.daemonPid)) / MIB);
      await kiln.ok(["rm", "-f", ...names]);
    }
  }
  return [
    ms(`${MANY} VMs at once to an exec in each`, together),
    ms(`\`kiln ps\` with ${MANY} VMs`, ps),
    comparison(`kilnd's memory with ${MANY} VMs`, "MiB", memory),
  ];
}

/** What one side leaves behind must not always meet the other. */
function thereAndBack(round: number, sides: readonly Side[]): [number, Side][] {
  const order = [...sides.entries()];
  return round % 2 === 1 ? order.reverse() : order;
}

function ms(name: string, times: readonly (readonly number[])[]): Comparison {
  return comparison(name, "ms", times);
}

function comparison(
  name: string,
  unit: string,
  [before = [], now = []]: readonly (readonly number[])[],
): Comparison {
  return { name, unit, before, now };
}

function render(rows: readonly Comparison[]): string {
  const lines = rows.map(({ name, unit, before, now }) => {
    const ratios = now.map((value, round) => value / (before[round] ?? Number.NaN));
    const [low, high] = medianRange(ratios);
    const between = `${low.toFixed(2)} to ${high.toFixed(2)}`;
    const sides = [before, now].map((values) => `${median(values).toFixed(1)} ${unit}`);
    return `| ${name} | ${sides.join(" | ")} | **${median(ratios).toFixed(2)} ×** | ${between} | ${verdict(median(ratios), low)} |`;
  });
  return [
    `| what | before | now | ratio, round by round | 95 % | ≤ ${MOST} × |`,
    "|---|---|---|---|---|---|",
    ...lines,
  ].join("\n");
}

/** A machine that is shared shows some rows too unsurely to say no. */
function verdict(ratio: number, low: number): string {
  if (ratio <= MOST) return "yes";
  return low > MOST ? "**no**" : "not sure";
}
