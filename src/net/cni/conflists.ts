// The CNI networks of this host: the files of the directories that containers' engines share, in the order of their names.

import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { Code, errnoOf, KilnError } from "../../base/errors.js";
import { readPlainFile } from "../../base/plain-file.js";
import { requireTrusted } from "../../base/trusted-path.js";
import { type CniNetwork, MAX_CONFLIST, parseConflist } from "./conflist.js";

/** Of one directory. */
const MOST_FILES = 256;
const ENDINGS = [".conflist", ".conf", ".json"];

export interface FoundConflist {
  readonly path: string;
  /** What is in it, or why that can't be used. */
  readonly network: CniNetwork | KilnError;
}

/** Of several files with one name's network the first counts. A directory that is not there has none. */
export async function findConflists(directories: readonly string[]): Promise<FoundConflist[]> {
  const found: FoundConflist[] = [];
  for (const directory of directories) {
    for (const name of await namesIn(directory)) found.push(await readConflist(join(directory, name)));
  }
  return found;
}

/** @throws KilnError not_found `cni-network-not-found`; failed_precondition `bad-cni-config`; permission_denied `unsafe-path` */
export async function findConflist(directories: readonly string[], name: string): Promise<CniNetwork> {
  const found = await findConflists(directories);
  const networks = found.flatMap(({ network }) => (network instanceof KilnError ? [] : [network]));
  const network = networks.find((one) => one.name === name);
  if (network !== undefined) return network;
  const flaws = found.flatMap(({ path, network }) =>
    network instanceof KilnError ? [KilnError.from(network, path)] : [],
  );
  // It may be the one that is meant: nobody can tell.
  if (flaws[0] !== undefined && networks.length === 0) throw flaws[0];
  const known = [...new Set(networks.map((one) => one.name))].join(", ");
  const where = directories.join(", ");
  throw new KilnError(Code.NotFound, `there is no CNI network ${name} in ${where}`, {
    reason: "cni-network-not-found",
    hint: known === "" ? `put its .conflist into ${directories[0] ?? where}` : `there are: ${known}`,
  });
}

async function namesIn(directory: string): Promise<string[]> {
  const names = await readdir(directory).catch((error: unknown) => {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return [];
    throw KilnError.from(error, `look for CNI networks in ${directory}`);
  });
  return names
    .filter((name) => ENDINGS.some((ending) => name.endsWith(ending)))
    .sort()
    .slice(0, MOST_FILES);
}

/** What is in it is run as root: nobody else may have written it. */
async function readConflist(path: string): Promise<FoundConflist> {
  try {
    await requireTrusted(path);
    const text = (await readPlainFile(path, MAX_CONFLIST)).toString("utf8");
    return { path, network: parseConflist(text) };
  } catch (error) {
    return { path, network: KilnError.from(error) };
  }
}
