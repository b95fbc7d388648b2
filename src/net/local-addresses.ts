// The addresses that this host has, and when they change. Nobody tells Node: they are looked at once a second, by one
// timer for all who want to know.

import { networkInterfaces } from "node:os";

/** Of one family. A host with more (bridges of containers, as a rule) is not served on the rest of them. */
const MOST_ADDRESSES = 64;
const LOOK_MS = 1_000;

export type Family = 4 | 6;

/** The host's side of published ports; tests have another. */
export interface LocalNetwork {
  /** Addresses of interfaces that are up, loopback too. */
  addresses(family: Family): readonly string[];
  /** @returns what ends the watch */
  watch(onChange: () => void): () => void;
}

const watchers = new Set<() => void>();
let timer: NodeJS.Timeout | undefined;
let seen = "";

export const hostNetwork: LocalNetwork = {
  addresses,
  watch(onChange) {
    if (watchers.size === 0) {
      seen = allAddresses();
      timer = setInterval(look, LOOK_MS).unref();
    }
    // A function of its own for each: two may watch with the same one.
    const watcher = () => onChange();
    watchers.add(watcher);
    return () => {
      watchers.delete(watcher);
      if (watchers.size === 0) clearInterval(timer);
    };
  },
};

function look(): void {
  const now = allAddresses();
  if (now === seen) return;
  seen = now;
  for (const watcher of watchers) watcher();
}

function allAddresses(): string {
  return [...addresses(4), ...addresses(6)].join(" ");
}

function addresses(family: Family): readonly string[] {
  let interfaces: ReturnType<typeof networkInterfaces>;
  try {
    interfaces = networkInterfaces();
  } catch {
    return []; // a sandbox without netlink
  }
  const found = new Set<string>();
  for (const [name, entries = []] of Object.entries(interfaces)) {
    for (const { address, family: kind } of entries) {
      if (kind !== `IPv${family}`) continue;
      // Of one link: the same address may be on another one too.
      found.add(address.startsWith("fe80:") ? `${address}%${name}` : address);
    }
  }
  return [...found].slice(0, MOST_ADDRESSES);
}
