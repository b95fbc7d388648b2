// hosts.toml in containerd's layout (containerd docs/hosts.md): certs.d/<host>/hosts.toml says where a registry's images
// may be asked for. Parses and checks; reads the certificates that it names; decides nothing about a pull.

import { readdir } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { parse as parseToml } from "smol-toml";
import * as v from "valibot";
import { Code, errnoOf, hasReason, KilnError } from "../../base/errors.js";
import { readPlainFile } from "../../base/plain-file.js";
import type { TlsSettings } from "../http/trust.js";
import { ImageReason } from "../reasons.js";

const MAX_FILE = 1024 * 1024;

const Strings = v.union([v.string(), v.array(v.string())]);
const HostFields = {
  capabilities: v.optional(v.array(v.picklist(["pull", "resolve", "push", "referrers"]))),
  ca: v.optional(Strings),
  client: v.optional(v.union([v.string(), v.array(Strings)])),
  skip_verify: v.optional(v.boolean()),
  override_path: v.optional(v.boolean()),
  header: v.optional(v.record(v.string(), Strings)),
  dial_timeout: v.optional(v.string()),
};
const HostTable = v.strictObject(HostFields);
const HostsToml = v.strictObject({
  ...HostFields,
  server: v.optional(v.string()),
  host: v.optional(v.record(v.string(), HostTable)),
});

/** One host that may be asked, as the file describes it; paths are absolute. */
export interface HostEntry {
  /** Root of the API, "/v2" included, without a final slash. */
  readonly url: URL;
  readonly resolve: boolean;
  readonly pull: boolean;
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  readonly tls: TlsSettings;
}

/** Where one registry's images are asked for: mirrors in order, then the registry. */
export interface HostsConfig {
  readonly mirrors: readonly HostEntry[];
  /** Undefined: the registry at its own name; its settings still hold. */
  readonly server: URL | undefined;
  readonly origin: Omit<HostEntry, "url">;
}

/**
 * The first directory that has something for the registry, else a `_default` entry, else undefined.
 *
 * @param directories certs.d directories, most specific first
 * @throws KilnError failed_precondition `invalid-hosts-file`
 */
export async function loadHosts(
  registry: string,
  directories: readonly string[],
): Promise<HostsConfig | undefined> {
  for (const name of [registry, "_default"]) {
    for (const [index, directory] of directories.entries()) {
      try {
        const found = await loadDirectory(join(directory, name));
        if (found !== undefined) return found;
      } catch (error) {
        // containerd's directory is often root's alone: an ordinary user pulls without it
        if (index === 0 || !hasReason(error, "permission-denied")) throw error;
      }
    }
  }
  return undefined;
}

/** A directory with hosts.toml, or in docker's form with certificates only. */
async function loadDirectory(directory: string): Promise<HostsConfig | undefined> {
  const file = join(directory, "hosts.toml");
  const text = await readIfThere(file);
  if (text !== undefined) return parseHosts(text, file, directory);
  const tls = await certificatesIn(directory);
  if (tls === undefined) return undefined;
  return { mirrors: [], server: undefined, origin: { resolve: true, pull: true, headers: {}, tls } };
}

async function parseHosts(text: string, file: string, directory: string): Promise<HostsConfig> {
  let toml: unknown;
  try {
    toml = parseToml(text);
  } catch (error) {
    throw invalid(file, (error as Error).message.split("\n")[0] ?? "it is not TOML");
  }
  const parsed = v.safeParse(HostsToml, toml);
  if (!parsed.success) {
    const [issue] = parsed.issues;
    throw invalid(file, `${v.getDotPath(issue) ?? "top level"}: ${issue.message}`);
  }
  const { server, host = {}, ...root } = parsed.output;
  const mirrors: HostEntry[] = [];
  for (const [address, table] of Object.entries(host)) {
    mirrors.push({
      url: apiRoot(address, table.override_path === true, file),
      ...(await readEntry(table, file, directory)),
    });
  }
  return {
    mirrors,
    server: server === undefined ? undefined : apiRoot(server, root.override_path === true, file),
    origin: await readEntry(root, file, directory),
  };
}

async function readEntry(
  table: v.InferOutput<typeof HostTable>,
  file: string,
  directory: string,
): Promise<Omit<HostEntry, "url">> {
  const capabilities = table.capabilities ?? ["pull", "resolve"];
  const headers = table.header ?? {};
  for (const name of Object.keys(headers)) {
    if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name))
      throw invalid(file, `header ${JSON.stringify(name)} is no name`);
  }
  return {
    resolve: capabilities.includes("resolve"),
    pull: capabilities.includes("pull"),
    headers,
    tls: await readTls(table, file, directory),
  };
}

async function readTls(
  table: v.InferOutput<typeof HostTable>,
  file: string,
  directory: string,
): Promise<TlsSettings> {
  const at = (path: string) => readNamed(isAbsolute(path) ? path : join(directory, path), file);
  const ca = await Promise.all(listOf(table.ca).map(at));
  const clientCertificates: { cert: string; key: string }[] = [];
  // "both.pem", or ["both.pem", ["cert.pem", "key.pem"]]
  for (const pair of listOf(table.client)) {
    const [cert = "", key = cert] = listOf(pair);
    clientCertificates.push({ cert: await at(cert), key: await at(key || cert) });
  }
  return { ca, clientCertificates, skipVerify: table.skip_verify === true };
}

/** "https://mirror.example/path" to the API's root; without a scheme it is HTTPS. */
function apiRoot(address: string, overridePath: boolean, file: string): URL {
  const withScheme = /^[a-z]+:\/\//i.test(address) ? address : `https://${address}`;
  const url = URL.canParse(withScheme) ? new URL(withScheme) : undefined;
  if (url === undefined || (url.protocol !== "https:" && url.protocol !== "http:")) {
    throw invalid(file, `${JSON.stringify(address)} is not an http(s) URL`);
  }
  if (url.username !== "" || url.search !== "" || url.hash !== "") {
    throw invalid(file, `${url.host}: an URL with a user, a query or a fragment is not taken`);
  }
  const path = url.pathname.replace(/\/+$/, "");
  url.pathname = overridePath || path.endsWith("/v2") ? path : `${path}/v2`;
  return url;
}

/** Docker's form: *.crt are CAs, x.cert with x.key are client certificates. */
async function certificatesIn(directory: string): Promise<TlsSettings | undefined> {
  let names: string[];
  try {
    names = (await readdir(directory)).sort();
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return undefined;
    throw KilnError.from(error, `read ${directory}`);
  }
  const read = (name: string) => readNamed(join(directory, name), directory);
  const ca = await Promise.all(names.filter((name) => name.endsWith(".crt")).map(read));
  const clientCertificates: { cert: string; key: string }[] = [];
  for (const name of names.filter((candidate) => candidate.endsWith(".cert"))) {
    clientCertificates.push({ cert: await read(name), key: await read(name.replace(/\.cert$/, ".key")) });
  }
  return ca.length + clientCertificates.length === 0 ? undefined : { ca, clientCertificates };
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return (await readPlainFile(path, MAX_FILE)).toString("utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return undefined;
    if (error instanceof KilnError) throw invalid(path, error.message);
    throw KilnError.from(error, `read ${path}`);
  }
}

async function readNamed(path: string, namedBy: string): Promise<string> {
  const text = await readIfThere(path);
  if (text === undefined) throw invalid(namedBy, `${path} does not exist`);
  return text;
}

function listOf<T>(value: T | readonly T[] | undefined): readonly T[] {
  if (value === undefined) return [];
  return Array.isArray(value) ? (value as readonly T[]) : [value as T];
}

function invalid(file: string, why: string): KilnError {
  return new KilnError(Code.FailedPrecondition, `registry configuration ${file}: ${why}`, {
    reason: ImageReason.InvalidHostsFile,
    hint: "the form is containerd's hosts.toml (certs.d/<host>/hosts.toml)",
  });
}
