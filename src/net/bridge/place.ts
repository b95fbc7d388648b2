// Where the networks of a data root are: the host's own network namespace, or one of the user's own. All that is done to links
// and rules is done in it, by the same words.

import { readFile } from "node:fs/promises";
import { runProgram } from "./run-program.js";

/** Programs of the host, by their paths. */
export interface BridgePrograms {
  readonly ip: string;
  readonly nft: string;
  readonly dnsmasq: string;
  readonly bwrap: string;
  /** kiln's own. */
  readonly tap: string;
  readonly lease: string;
}

export interface Place {
  /** A process in its namespaces; undefined where they are our own. */
  readonly holder: number | undefined;
  /** The host's resolvers at that moment. */
  readonly servers: readonly string[];
  /** Whom its own resolvers ask for names of outside. */
  readonly upstream: readonly string[];
  /** Goes before a command that is to run there. */
  readonly prefix: readonly string[];
}

/** @throws KilnError unavailable `network-failed` */
export function runIn(place: Place, what: string, argv: readonly string[], stdin?: string): Promise<string> {
  return runProgram(what, [...place.prefix, ...argv], stdin);
}

/** The names of its links. */
export async function linksIn(place: Place): Promise<Set<string>> {
  const text = await readFile(`/proc/${place.holder ?? "self"}/net/dev`, "utf8");
  return parseLinks(text);
}

/** Of /proc/net/dev (proc(5)). */
export function parseLinks(text: string): Set<string> {
  return new Set([...text.matchAll(/^ *([^\s:]+):/gm)].map((match) => match[1] ?? ""));
}
