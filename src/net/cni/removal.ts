// DEL of a card as far as it came: its record says what there may be, and what there is says where it is looked for.

import { hasReason, KilnError } from "../../base/errors.js";
import { makeDirectory } from "../../base/files.js";
import type { JsonObject } from "../../base/versioned.js";
import { isRoot } from "../bridge/ground.js";
import type { CniKey } from "../types.js";
import { holderRecord, ifNameOf, recorded } from "./attachment.js";
import { programs } from "./given.js";
import type { CniGround } from "./ground.js";
import { standInLink } from "./inside.js";
import { endNamespace, holdNamespace, namespaceHolder } from "./namespace.js";
import { type CniRecord, networkOf } from "./record.js";
import { resultOf } from "./result.js";
import type { CniRuntime } from "./runtime.js";

interface Removing {
  readonly ground: CniGround;
  readonly runtime: CniRuntime;
  /** Of the holders' records. */
  readonly directory: string;
  readonly environment: Readonly<Record<string, string>>;
  /** What is given up, for the log. */
  readonly tell?: ((why: string) => void) | undefined;
}

/** What holds a card's namespace; undefined where that has gone, or what it was connected to. */
export async function holderOf(
  { ground, directory }: Pick<Removing, "ground" | "directory">,
  key: CniKey,
): Promise<number | undefined> {
  const holder = await namespaceHolder(holderRecord(directory, key));
  return holder !== undefined && (await ground.has(holder)) ? holder : undefined;
}

/** @throws KilnError as `CniRuntime.del` */
export async function deleteCard(deps: Removing, key: CniKey, record: CniRecord): Promise<void> {
  const del = (holder: number | undefined) =>
    deps.runtime.del(networkOf(record), recorded(key, record, holder), record.result ?? undefined);
  const holder = await holderOf(deps, key);
  const { result } = record;
  const isMadeUp = holder === undefined && result !== null;
  const there = isMadeUp ? standIn(deps, key, result) : Promise.resolve(holder);
  const done = there.then(del).catch((error: unknown) => {
    // Deleted in part, by a plugin that was killed: bridge's fails over rules that are gone, and does not look for them
    // where there is no namespace. What is in the namespace goes with it.
    if (isMadeUp || hasReason(error, "cni-failed")) return del(undefined);
    throw error;
  });
  await done.catch((error: unknown) => {
    // What a user can't have can't be deleted either: macvlan's looks for the host's link first. No plugin has answered, so
    // what there may be of it goes with the user's place at the latest.
    if (result !== null || isRoot() || !hasReason(error, "cni-failed")) throw error;
    deps.tell?.(KilnError.from(error).message);
  });
}

/**
 * A namespace in the place of one that has gone, with a link of the same name and addresses: some plugins look there for
 * whose rules they are to remove, and leave them where there is nothing.
 */
async function standIn(
  { ground, directory, environment }: Removing,
  key: CniKey,
  result: JsonObject,
): Promise<number> {
  const { ip } = await programs();
  const record = holderRecord(directory, key);
  await makeDirectory(directory);
  await endNamespace(record);
  const holder = await holdNamespace(await ground.ensure(), record, environment);
  const addresses = resultOf(result).ips.map(({ address }) => address);
  await standInLink(ip, holder, ifNameOf(key), addresses);
  return holder;
}
