// Two pairs of guests on one host of the bench's own: VMs of kiln on a bridge network, and bare QEMUs with taps on a bridge that
// nobody has rules for. The same image, kernel, agent and kind of tap; what they send, they send turn by turn.

import type { UndoStack } from "../src/base/undo.js";
import { run } from "../test/contract/agent-bench.js";
import type { TestKiln } from "../test/e2e/harness.js";
import type { BridgeWorld } from "../test/fixtures/bridge-world.js";
import { type BareCard, type BareGuest, bootBareOnBase } from "./bare-guest.js";

const PORT = 5001;
const STEP_MS = 180_000;
/** Far beyond any name of kiln's own. */
const BRIDGE = "kbench0";
const TAP = "/mnt/kiln/agent/target/release/kiln-tap";
const MTU = 1500;

const SINK = ["/bin/stream", "sink", String(PORT)];

export interface Pair {
  /** Milliseconds, by the sender's clock, from its connect to the other's end of reading. */
  send(mib: number): Promise<number>;
  /** The mean round trip of pings that follow each other at once, in milliseconds. */
  ping(count: number): Promise<number>;
}

type InGuest = (script: string) => Promise<string>;

/** Of kiln's VMs. @param image what both run, with busybox and `stream` */
export async function kilnPair(undo: UndoStack, kiln: TestKiln, image: string): Promise<Pair> {
  await kiln.ok(["network", "create", "bench"]);
  undo.push("remove the network", async () => void (await kiln.ok(["network", "rm", "bench"])));
  const box = async (name: string, command: readonly string[]) => {
    await kiln.ok(["run", "-d", "-q", "--name", name, "--network", "bench", image, ...command]);
    undo.push(`remove ${name}`, async () => void (await kiln.ok(["rm", "-f", name])));
    return (await kiln.ok(["inspect", "-f", "{{(index .status.networks 0).ip}}", name])).trim();
  };
  const address = await box("sink", SINK);
  await box("source", ["sleep", "100000"]);
  return pairOf((script) => kiln.ok(["exec", "source", "sh", "-c", script]), address);
}

/** Of QEMUs alone. @param dataRoot has a base that kiln has made of the image */
export async function barePair(
  undo: UndoStack,
  world: BridgeWorld,
  scratch: string,
  dataRoot: string,
): Promise<Pair> {
  world.host.ok(`ip link add ${BRIDGE} type bridge stp_state 0 && ip link set ${BRIDGE} up`);
  const box = async (at: number) => {
    const guest = await bootBareOnBase(scratch, dataRoot, [cardOf(world, at)]);
    undo.push(`end the bare guest ${at}`, () => guest.end());
    return guest;
  };
  const [sink, source] = [await box(1), await box(2)];
  void run(sink.session, SINK, { spec: { env: ["PATH=/bin"] } }).catch(() => undefined);
  return pairOf((script) => inGuest(source, script), addressOf(1));
}

const addressOf = (at: number) => `10.98.0.${at}`;

/** A card as kiln makes one, but for what joins a network: no rules, and nobody who answers. */
function cardOf(world: BridgeWorld, at: number): BareCard {
  const mac = `02:98:00:00:00:0${at}`;
  const words = ["--tap", `kbench0t${at}`, "--bridge", BRIDGE, "--mtu", String(MTU)];
  return {
    card: {
      ...{ id: "net0", mac },
      backend: {
        kind: "descriptor" as const,
        around: (argv: readonly string[], fd: number) => [
          ...[...world.host.prefix, TAP, ...words, "--at", String(fd), "--", ...argv],
        ],
      },
    },
    guest: { mac, name: "eth0", addresses: [`${addressOf(at)}/24`], mtu: MTU },
  };
}

async function inGuest({ session }: BareGuest, script: string): Promise<string> {
  const spec = { env: ["PATH=/bin"] };
  const signal = AbortSignal.timeout(STEP_MS);
  const { stdout, stderr, exit } = await run(session, ["sh", "-c", script], { spec, signal });
  if (exit?.code !== 0)
    throw new Error(`in the bare guest: ${script}: ${stdout}${stderr}${exit?.error ?? ""}`);
  return stdout;
}

function pairOf(inSource: InGuest, address: string): Pair {
  return {
    send: async (mib) => {
      // The sink of a bare guest is only just starting, the first time.
      const once = `stream send ${address} ${PORT} ${mib}`;
      return Number(
        await inSource(`for i in $(seq 50); do ${once} 2>/dev/null && exit 0; sleep 0.1; done; exec ${once}`),
      );
    },
    ping: async (count) => {
      const text = await inSource(`ping -A -q -c ${count} ${address}`);
      return Number(/ = [\d.]+\/([\d.]+)\//.exec(text)?.[1] ?? Number.NaN);
    },
  };
}
