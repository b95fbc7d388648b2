// One dnsmasq of a network: what it reads, that it runs, and that it runs again. It is in a jail, outlives kilnd, and the next
// kilnd finds it by its record.

import { chmod, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { BWRAP_CHILD_PID } from "../../base/bubblewrap.js";
import { failpoint } from "../../base/failpoint.js";
import { exists, makeDirectory, writeFileAtomic } from "../../base/files.js";
import type { NetworkSpec } from "../../base/networks.js";
import { signalProcess } from "../../base/processes.js";
import type { NetworkCard } from "../types.js";
import { endHelper, runningHelper, startHelper } from "./helper.js";
import type { BridgePrograms, Place } from "./place.js";
import { type NamesKind, planConfiguration, planHosts, planOwn, planResolvConf } from "./plan-names.js";
import { planNamesJail } from "./plan-names-jail.js";

/** What it says once it listens. */
const BEGUN = /\bstarted, version\b/;
const CONFIGURATION = "dnsmasq.conf";

export interface NamesOptions {
  readonly spec: NetworkSpec;
  readonly kind: NamesKind;
  /** Private to kilnd: for what it reads, below which it sees nothing else, and its record. */
  readonly directory: string;
  readonly place: Place;
  readonly programs: BridgePrograms;
  readonly environment: Readonly<Record<string, string>>;
}

/** As the cards of this moment have it, at once. Started where it does not run. @throws KilnError unavailable `network-failed` */
export async function tellNames(options: NamesOptions, cards: readonly NetworkCard[]): Promise<void> {
  const record = recordOf(options);
  const news = await writeNames(options, cards);
  failpoint("network.told");
  // It reads its configuration but once. An earlier release's gave leases as well.
  if (news.includes(CONFIGURATION)) await endHelper(record);
  const found = await runningHelper(record);
  if (found === undefined) await startNames(options);
  else if (news.length > 0) await signalProcess(found, "SIGHUP");
}

/** Writes what it reads. @returns what of it is new */
async function writeNames(options: NamesOptions, cards: readonly NetworkCard[]): Promise<string[]> {
  const { spec, kind, place } = options;
  const directory = filesOf(options);
  await makeDirectory(options.directory);
  await makeDirectory(directory, 0o755);
  const files = {
    [CONFIGURATION]: planConfiguration(spec, kind),
    hosts: planHosts(spec, cards),
    own: planOwn(spec, cards),
    "resolv.conf": planResolvConf(place.upstream),
    passwd: "root:x:0:0:root:/:/bin/false\n",
  };
  const news: string[] = [];
  for (const [name, text] of Object.entries(files)) {
    const path = join(directory, name);
    const before = await readFile(path, "utf8").catch(() => undefined);
    if (before === text) continue;
    await writeFileAtomic(path, text, { durable: false });
    // Its own user reads them.
    await chmod(path, 0o644);
    news.push(name);
  }
  return news;
}

async function startNames(options: NamesOptions): Promise<void> {
  const { place, programs, spec, environment } = options;
  const isOwnUser = place.holder === undefined;
  await startHelper({
    what: `the resolver of network ${spec.name}`,
    argv: [...place.prefix, ...planNamesJail({ programs, files: filesOf(options), isOwnUser })],
    environment,
    record: recordOf(options),
    pidIn: BWRAP_CHILD_PID,
    begun: BEGUN,
  });
}

/** All that are on record. @param directory of the network */
export async function areNamesRunning(directory: string): Promise<boolean> {
  for (const kind of ["open", "closed"] as const) {
    const record = recordOf({ directory, kind });
    if ((await exists(record)) && (await runningHelper(record)) === undefined) return false;
  }
  return exists(recordOf({ directory, kind: "open" }));
}

export async function endNames(options: Pick<NamesOptions, "directory" | "kind">): Promise<void> {
  await endHelper(recordOf(options));
  await rm(filesOf(options), { recursive: true, force: true });
}

function filesOf({ directory, kind }: Pick<NamesOptions, "directory" | "kind">): string {
  return join(directory, `names-${kind}`);
}

function recordOf({ directory, kind }: Pick<NamesOptions, "directory" | "kind">): string {
  return join(directory, `names-${kind}.json`);
}
