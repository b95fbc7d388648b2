// npm run bench [-- ROW... --save]: the table of SPECIFICATION.md, measured here and now. With `--beside CHECKOUT`: this
// kiln and that one, turn by turn.

import "../src/base/runtime.js";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { cpus, release, tmpdir, totalmem } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { TestKiln } from "../test/e2e/harness.js";
import { CHECKOUT } from "../test/fixtures/assets.js";
import { benchBase } from "./base.js";
import { benchBeside } from "./beside.js";
import { benchBoot } from "./boot.js";
import { benchJail } from "./jail.js";
import type { Row } from "./measure.js";
import { benchNetwork } from "./network.js";
import { benchShare } from "./share.js";
import { type Bench, benchCreate, benchExec, benchMany, benchRun, prepareImage } from "./vms.js";

const ROWS: Readonly<Record<string, (bench: Bench) => Promise<Row[]>>> = {
  base: ({ scratch }) => benchBase(scratch),
  boot: ({ scratch }) => benchBoot(scratch),
  run: benchRun,
  create: benchCreate,
  jail: ({ scratch }) => benchJail(scratch),
  exec: benchExec,
  share: ({ scratch }) => benchShare(scratch),
  network: ({ scratch }) => benchNetwork(scratch),
  many: benchMany,
};

function machine(): string {
  const [first] = cpus();
  const memory = Math.round(totalmem() / 1024 ** 3);
  return `${cpus().length} × ${first?.model.trim() ?? "unknown CPU"}, ${memory} GiB, Linux ${release()}, Node ${process.version}, QEMU with software emulation (TCG)`;
}

function render(rows: readonly Row[]): string {
  const lines = rows.map(
    ({ name, budget, result, detail, met }) =>
      `| ${name} | ${budget} | **${result}** | ${verdict(met)} | ${detail} |`,
  );
  return ["| what | budget | measured | met | figures |", "|---|---|---|---|---|", ...lines].join("\n");
}

function verdict(met: boolean | undefined): string {
  if (met === undefined) return "–";
  return met ? "yes" : "**no**";
}

async function measure(names: readonly string[]): Promise<Row[]> {
  const scratch = await mkdtemp(join(tmpdir(), "kb-"));
  const kiln = await TestKiln.start({ kernel: "kiln", moreKernels: ["debian"] });
  try {
    const bench = { kiln, scratch, image: await prepareImage(kiln, scratch) };
    const rows: Row[] = [];
    for (const name of names) {
      process.stderr.write(`bench ${name} ...\n`);
      const directory = await mkdtemp(join(scratch, "row-"));
      rows.push(...((await ROWS[name]?.({ ...bench, scratch: directory })) ?? []));
    }
    return rows;
  } finally {
    await kiln.dispose();
    await rm(scratch, { recursive: true, force: true });
  }
}

async function main(): Promise<void> {
  const { positionals: asked, values } = parseArgs({
    allowPositionals: true,
    options: { save: { type: "boolean" }, beside: { type: "string" } },
  });
  const unknown = asked.find((name) => !(name in ROWS));
  if (unknown !== undefined) {
    process.stderr.write(`bench: no row is called ${unknown}; there are ${Object.keys(ROWS).join(", ")}\n`);
    process.exitCode = 2;
    return;
  }
  const table = await (values.beside === undefined
    ? measure(asked.length === 0 ? Object.keys(ROWS) : asked).then(render)
    : beside(values.beside));
  process.stdout.write(`${machine()}\n\n${table}\n`);
  if (values.save === true && values.beside === undefined) await save(table);
}

async function beside(checkout: string): Promise<string> {
  const scratch = await mkdtemp(join(tmpdir(), "kb-"));
  try {
    return await benchBeside(resolve(checkout), scratch);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function save(table: string): Promise<void> {
  const when = new Date().toISOString().slice(0, 10);
  const text = `# Benchmarks\n\nThe last table of \`npm run bench -- --save\`, ${when}. Ratios count: the machine is shared and small.\n\n${machine()}\n\n${table}\n`;
  await writeFile(join(CHECKOUT, "BENCHMARKS.md"), text);
}

await main();
