// Networks: what two VMs on a bridge network send each other, against bare QEMUs with the same kind of tap and bridge; and what
// each kind of network costs a VM's start. On a host of the bench's own, a network namespace with Debian's CNI plugins.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { UndoStack } from "../src/base/undo.js";
import { TestKiln } from "../test/e2e/harness.js";
import { CHECKOUT } from "../test/fixtures/assets.js";
import { busyboxImage } from "../test/fixtures/busybox-image.js";
import { CniWorld, CONFIGS, OWN_PLUGINS, REAL_PLUGINS, usualPlugins } from "../test/fixtures/cni-world.js";
import { inTurn, median, type Row, shell } from "./measure.js";
import { barePair, kilnPair, type Pair } from "./network-guests.js";

const ROUNDS = 9;
const SENT_MIB = 256;
const PINGS = 300;
const WORTH = 0.95;

export async function benchNetwork(scratch: string): Promise<Row[]> {
  if (process.getuid?.() !== 0)
    return [information("network", "not measured", "it takes root to make a host")];
  await using undo = new UndoStack();
  const world = await CniWorld.open();
  undo.push("end the host", () => world[Symbol.asyncDispose]());
  world.conflist("usual", "1.0.0", usualPlugins(1));
  const env = { KILN_CNI_CONFIGS: CONFIGS, KILN_CNI_PLUGINS: `${OWN_PLUGINS}:${REAL_PLUGINS}` };
  const kiln = await TestKiln.start({ kernel: "kiln", daemonPrefix: world.host.prefix, env });
  undo.push("end kilnd", () => kiln.dispose());
  kiln.env.KILN_HOST = `unix://${kiln.socket}`;
  const layout = await streamImage(scratch);
  await kiln.ok(["pull", layout]);
  const image = (await kiln.ok(["images", "-q"])).trim();
  await kiln.ok(["run", "--rm", image, "true"]);
  const starts = await benchStarts(kiln, image);
  const ours = await kilnPair(undo, kiln, image);
  const bare = await barePair(undo, world.world, scratch, join(kiln.root, "data"));
  return [...(await benchTraffic(ours, bare)), ...starts];
}

/** busybox and `stream.c`. */
async function streamImage(scratch: string): Promise<string> {
  const program = join(scratch, "stream");
  await shell(`gcc -O2 -static -s -o ${program} ${join(CHECKOUT, "bench/stream.c")}`);
  const extra = [{ path: "bin/stream", data: await readFile(program), mode: 0o755 }];
  return busyboxImage(join(scratch, "busybox"), { extra });
}

async function benchTraffic(ours: Pair, bare: Pair): Promise<Row[]> {
  const sent = await sampled([() => ours.send(SENT_MIB), () => bare.send(SENT_MIB)]);
  const asked = await sampled([() => ours.ping(PINGS), () => bare.ping(PINGS)]);
  const [oursMs = Number.NaN, bareMs = Number.NaN] = sent;
  const [ourTrip = Number.NaN, bareTrip = Number.NaN] = asked;
  const rate = (ms: number) => `${Math.round((SENT_MIB * 1000) / ms)} MiB/s`;
  const worth = bareMs / oursMs;
  return [
    {
      name: `bridge network: ${SENT_MIB} MiB by TCP from VM to VM, throughput against bare QEMUs on taps and a bridge`,
      ...{ budget: `≥ ${WORTH} ×`, result: `${worth.toFixed(2)} ×`, met: worth >= WORTH },
      detail: `${rate(oursMs)} against ${rate(bareMs)}, medians of ${ROUNDS}`,
    },
    information(
      "the same: round trip of a ping",
      `${(ourTrip / bareTrip).toFixed(2)} ×`,
      `${ourTrip.toFixed(3)} ms against ${bareTrip.toFixed(3)} ms, ${PINGS} in a row, medians of ${ROUNDS}`,
    ),
  ];
}

/** Turn by turn, there and back. @returns medians of what each body measures itself */
async function sampled(bodies: readonly (() => Promise<number>)[]): Promise<readonly number[]> {
  const samples: number[][] = bodies.map(() => []);
  await inTurn(
    ROUNDS,
    bodies.map((body, at) => async () => void samples[at]?.push(await body())),
  );
  return samples.map(median);
}

/** A VM's start to its end, on each kind of network. */
async function benchStarts(kiln: TestKiln, image: string): Promise<Row[]> {
  await kiln.ok(["network", "create", "kept"]);
  // So that its bridge and its resolver are there, as they are where others run.
  await kiln.ok(["run", "-d", "--name", "kept", "--network", "kept", image, "sleep", "100000"]);
  const kinds = ["none", "user", "kept", "cni:usual"];
  const bodies = kinds.map((kind) => () => kiln.ok(["run", "--rm", "--network", kind, image, "true"]));
  const [none = Number.NaN, ...others] = await inTurn(ROUNDS, bodies);
  await kiln.ok(["rm", "-f", "kept"]);
  await kiln.ok(["network", "rm", "kept"]);
  const names = [
    "the user network",
    "a bridge network where another VM runs",
    "a CNI network of five plugins",
  ];
  return others.map((ms, at) =>
    information(
      `\`kiln run --rm IMAGE true\` on ${names[at]}, over none`,
      `${Math.round(ms - none)} ms more`,
      `${Math.round(ms)} ms against ${Math.round(none)} ms, medians of ${ROUNDS}`,
    ),
  );
}

function information(name: string, result: string, detail: string): Row {
  return { name, budget: "for information", result, detail, met: undefined };
}
