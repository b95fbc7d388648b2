// One dnsmasq of a network: what it reads, that it runs, and that it runs again. It is in a jail, outlives kilnd, and the next
// kilnd finds it by its record.

import { chmod, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { exists, makeDirectory, writeFileAtomic } from "../../base/files.js";
import type { NetworkSpec } from "../../base/networks.js";
import { signalProcess } from "../../base/processes.js";
import type { NetworkCard } from "../types.js";
import { endHelper, runningHelper, startHelper } from "./helper.js";
import type { BridgePrograms, Place } from "./place.js";
import { type NamesKind, planConfiguration, planHosts, planLeases, planResolvConf } from "./plan-names.js";
import { planNamesJail } from "./plan-names-jail.js";

/** What it says once it listens. */
const BEGUN = /\bstarted, version\b/;

export interface NamesOptions {
  readonly spec: NetworkSpec;
  readonly kind: NamesKind;
  /** Private to kilnd: for what it reads, below which it sees nothing else, and its record. */
  readonly directory: string;
  readonly place: Place;
  readonly programs: BridgePrograms;
  readonly environment: Readonly<Record<string, string>>;
}

/** Writes what it reads; true where something of it is new. */
export async function writeNames(options: NamesOptions, cards: readonly NetworkCard[]): Promise<boolean> {
  const { spec, kind, place } = options;
  const directory = filesOf(options);
  await makeDirectory(options.directory);
  await makeDirectory(directory, 0o755);
  const files = {
    "dnsmasq.conf": planConfiguration(spec, kind),
    hosts: planHosts(spec, cards),
    leases: planLeases(cards),
    "resolv.conf": planResolvConf(place.upstream),
    passwd: "root:x:0:0:root:/:/bin/false\n",
  };
  let isNew = false;
  for (const [name, text] of Object.entries(files)) {
    const path = join(directory, name);
    const before = await readFile(path, "utf8").catch(() => undefined);
    if (before === text) continue;
    await writeFileAtomic(path, text, { durable: false });
    // Its own user reads them.
    await chmod(path, 0o644);
    isNew = true;
  }
  return isNew;
}

/** Started where it does not run. @returns whether it did @throws KilnError unavailable `network-failed` */
export async function ensureNames(options: NamesOptions): Promise<{ readonly wasThere: boolean }> {
  const { place, programs, spec, environment } = options;
  const record = recordOf(options);
  const isOwnUser = place.holder === undefined;
  if ((await runningHelper(record)) !== undefined) return { wasThere: true };
  await startHelper({
    what: `the resolver of network ${spec.name}`,
    argv: [...place.prefix, ...planNamesJail({ programs, files: filesOf(options), isOwnUser })],
    environment,
    record,
    pidIn: /"child-pid": (\d+)/,
    begun: BEGUN,
  });
  return { wasThere: false };
}

/** All that are on record. @param directory of the network */
export async function areNamesRunning(directory: string): Promise<boolean> {
  for (const kind of ["open", "closed"] as const) {
    const record = recordOf({ directory, kind });
    if ((await exists(record)) && (await runningHelper(record)) === undefined) return false;
  }
  return exists(recordOf({ directory, kind: "open" }));
}

/** It reads its files again. */
export async function reloadNames(options: NamesOptions): Promise<void> {
  const found = await runningHelper(recordOf(options));
  if (found !== undefined) await signalProcess(found, "SIGHUP");
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
