// The files that hold registry credentials: containers' auth.json (containers-auth.json(5)) and docker's config.json.
// Where they lie, what they say. Never shows their content, not even in the error for a damaged one.

import { join } from "node:path";
import * as v from "valibot";
import { Code, errnoOf, KilnError } from "../../base/errors.js";
import { readPlainFile } from "../../base/plain-file.js";
import { ImageReason } from "../reasons.js";
import type { RegistryCredentials } from "../types.js";

const MAX_FILE = 1024 * 1024;
const Text = v.pipe(v.string(), v.maxLength(65_536));

const AuthEntry = v.looseObject({
  auth: v.nullish(Text),
  username: v.nullish(Text),
  password: v.nullish(Text),
  identitytoken: v.nullish(Text),
});

const AuthFileSchema = v.looseObject({
  auths: v.nullish(v.record(Text, v.nullish(AuthEntry))),
  credHelpers: v.nullish(v.record(Text, Text)),
  credsStore: v.nullish(Text),
});

/** One credential file. Keys are normalised: "docker.io", "quay.io/org". */
export interface AuthFile {
  readonly path: string;
  readonly auths: ReadonlyMap<string, RegistryCredentials>;
  readonly credHelpers: ReadonlyMap<string, string>;
  readonly credsStore: string | undefined;
}

/**
 * Where credentials are looked for, first hit wins. REGISTRY_AUTH_FILE stands alone, as with podman and skopeo.
 *
 * @param uid of the user whose files they are
 */
export function authFilePaths(env: NodeJS.ProcessEnv, uid: number): { path: string; required: boolean }[] {
  if (env.REGISTRY_AUTH_FILE) return [{ path: env.REGISTRY_AUTH_FILE, required: true }];
  const home = env.HOME;
  const runtime = env.XDG_RUNTIME_DIR || `/run/containers/${uid}`;
  const config = env.XDG_CONFIG_HOME || (home ? join(home, ".config") : undefined);
  const docker = env.DOCKER_CONFIG || (home ? join(home, ".docker") : undefined);
  const paths = [
    env.XDG_RUNTIME_DIR ? join(runtime, "containers", "auth.json") : join(runtime, "auth.json"),
    config === undefined ? undefined : join(config, "containers", "auth.json"),
    docker === undefined ? undefined : join(docker, "config.json"),
  ];
  return paths.filter((path) => path !== undefined).map((path) => ({ path, required: false }));
}

/**
 * Reads one file; undefined where there is none.
 *
 * @throws KilnError failed_precondition `invalid-auth-file`
 */
export async function readAuthFile(path: string): Promise<AuthFile | undefined> {
  let text: string;
  try {
    text = (await readPlainFile(path, MAX_FILE)).toString("utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return undefined;
    if (error instanceof KilnError) throw invalid(path, error.message);
    throw invalid(path, `it can't be read (${errnoOf(error) ?? "unknown error"})`);
  }
  return parseAuthFile(text, path);
}

/** @throws KilnError failed_precondition `invalid-auth-file` */
export function parseAuthFile(text: string, path: string): AuthFile {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw invalid(path, "it is not JSON"); // the parser's message would quote the file
  }
  const parsed = v.safeParse(AuthFileSchema, json);
  if (!parsed.success) throw invalid(path, "it does not have the form of an auth file");
  const auths = new Map<string, RegistryCredentials>();
  for (const [key, entry] of Object.entries(parsed.output.auths ?? {})) {
    const credentials = entry ? credentialsOf(entry, path) : undefined;
    if (credentials !== undefined) auths.set(normaliseKey(key), credentials);
  }
  const helpers = Object.entries(parsed.output.credHelpers ?? {});
  return {
    path,
    auths,
    credHelpers: new Map(helpers.map(([key, helper]) => [normaliseKey(key), helper])),
    credsStore: parsed.output.credsStore || undefined,
  };
}

/**
 * One spelling for a file's keys: "https://index.docker.io/v1/" is "docker.io". Only keys without a scheme may name a
 * repository (containers-auth.json(5)).
 */
export function normaliseKey(key: string): string {
  const bare = key.replace(/^https?:\/\//, "");
  const path = bare === key ? bare.replace(/\/+$/, "") : (bare.split("/")[0] ?? "");
  const slash = path.indexOf("/");
  const host = (slash < 0 ? path : path.slice(0, slash)).toLowerCase();
  const rest = slash < 0 ? "" : path.slice(slash);
  if (host === "index.docker.io" && /^\/v[12]$/.test(rest)) return "docker.io";
  return isDockerHub(host) ? `docker.io${rest}` : `${host}${rest}`;
}

/** True for the names under which Docker Hub is written. */
export function isDockerHub(host: string): boolean {
  return host === "docker.io" || host === "index.docker.io" || host === "registry-1.docker.io";
}

/** The keys that apply to a repository, most specific first: "quay.io/a/b", "quay.io/a", "quay.io". */
export function keysFor(registry: string, repository: string): string[] {
  const parts = repository.split("/");
  const keys: string[] = [];
  for (let count = parts.length; count > 0; count--)
    keys.push(`${registry}/${parts.slice(0, count).join("/")}`);
  keys.push(registry);
  return keys;
}

function credentialsOf(
  entry: v.InferOutput<typeof AuthEntry>,
  path: string,
): RegistryCredentials | undefined {
  if (entry.identitytoken) return { identityToken: entry.identitytoken };
  if (entry.auth) return decodeAuth(entry.auth, path);
  if (entry.username && entry.password) return { username: entry.username, password: entry.password };
  return undefined; // docker writes empty entries beside a credsStore
}

function decodeAuth(auth: string, path: string): RegistryCredentials {
  const pair = Buffer.from(auth, "base64").toString("utf8");
  const colon = pair.indexOf(":");
  if (colon <= 0) throw invalid(path, 'an "auth" in it is not base64 of user:password');
  return { username: pair.slice(0, colon), password: pair.slice(colon + 1).replace(/\0+$/, "") };
}

function invalid(path: string, why: string): KilnError {
  return new KilnError(Code.FailedPrecondition, `read registry credentials from ${path}: ${why}`, {
    reason: ImageReason.InvalidAuthFile,
    hint: "repair or remove the file, or name another one with REGISTRY_AUTH_FILE",
  });
}
