// The host's own resolver settings, as far as a guest can use them.

import { isIP } from "node:net";
import { errnoOf } from "../base/errors.js";
import { readPlainFile } from "../base/plain-file.js";

export interface HostDns {
  /** In the file's order; empty where the host has none. */
  readonly servers: readonly string[];
  readonly search: readonly string[];
  readonly options: readonly string[];
}

const RESOLV_CONF = "/etc/resolv.conf";
/** Where systemd-resolved keeps the servers behind its stub at 127.0.0.53. */
const RESOLVED_UPSTREAM = "/run/systemd/resolve/resolv.conf";

/** glibc's own limits (resolv.conf(5)): more is ignored there too. */
const MAX_SERVERS = 3;
const MAX_SEARCH = 32;

const MAX_FILE = 1024 * 1024;

const readResolvConf = async (path: string) => (await readPlainFile(path, MAX_FILE)).toString("utf8");

/** No fall-back to anybody's public resolver: a host without one has guests without one. */
export async function readHostDns(
  read: (path: string) => Promise<string> = readResolvConf,
): Promise<HostDns> {
  const own = parseResolvConf(await readOrEmpty(read, RESOLV_CONF));
  const onlyStub = own.servers.length > 0 && own.servers.every(isLoopback);
  if (!onlyStub) return own;
  const upstream = parseResolvConf(await readOrEmpty(read, RESOLVED_UPSTREAM));
  const servers = upstream.servers.filter((server) => !isLoopback(server));
  if (servers.length === 0) return own;
  return { servers, search: own.search.length > 0 ? own.search : upstream.search, options: own.options };
}

/** resolv.conf(5). Lines that are not understood are left out, as glibc does. */
export function parseResolvConf(text: string): HostDns {
  const servers: string[] = [];
  let search: string[] = [];
  const options: string[] = [];
  for (const line of text.split("\n")) {
    const [keyword, ...words] = line
      .replace(/[#;].*/, "")
      .trim()
      .split(/\s+/);
    if (keyword === "nameserver" && isIP(words[0]?.split("%")[0] ?? "") !== 0) servers.push(words[0] ?? "");
    // The last of `search` and `domain` counts.
    else if (keyword === "search") search = words.filter(isDomain);
    else if (keyword === "domain") search = words.slice(0, 1).filter(isDomain);
    else if (keyword === "options") options.push(...words.filter((word) => /^[a-z0-9:-]{1,40}$/.test(word)));
  }
  return { servers: servers.slice(0, MAX_SERVERS), search: search.slice(0, MAX_SEARCH), options };
}

/** True for an address that means another machine inside a guest. */
export function isLoopback(address: string): boolean {
  return address.startsWith("127.") || address === "::1" || address === "0.0.0.0" || address === "::";
}

function isDomain(word: string): boolean {
  return /^(?:\.|[A-Za-z0-9_.-]{1,253})$/.test(word);
}

async function readOrEmpty(read: (path: string) => Promise<string>, path: string): Promise<string> {
  try {
    return await read(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "EACCES") return "";
    throw error;
  }
}
