// Which credentials belong to a repository: those given, else the first file that knows some.

import { Code, KilnError } from "../../base/errors.js";
import { ImageReason } from "../reasons.js";
import type { RegistryCredentials } from "../types.js";
import {
  type AuthFile,
  authFilePaths,
  isDockerHub,
  keysFor,
  normaliseKey,
  readAuthFile,
} from "./auth-file.js";
import { askCredentialHelper } from "./credential-helper.js";

export interface CredentialsOptions {
  readonly env: NodeJS.ProcessEnv;
  /** Whose files: decides /run/containers/<uid>. */
  readonly uid: number;
  /** By registry host or host/path prefix; before all files. */
  readonly explicit?: ReadonlyMap<string, RegistryCredentials> | undefined;
  readonly helperMs: number;
  /** False: nothing but what is given. */
  readonly files?: boolean;
}

export interface CredentialSource {
  /**
   * @param registry as in references ("docker.io"), or a mirror's host
   * @returns undefined: ask anonymously
   * @throws KilnError `invalid-auth-file`, `credential-helper-failed`
   */
  find(registry: string, repository: string, signal?: AbortSignal): Promise<RegistryCredentials | undefined>;
}

/** Files are read at each look-up: a login takes effect at once. */
export function createCredentialSource(options: CredentialsOptions): CredentialSource {
  const explicit = new Map(
    [...(options.explicit ?? [])].map(([key, credentials]) => [normaliseKey(key), credentials]),
  );
  return {
    async find(registry, repository, signal) {
      const keys = keysFor(normaliseKey(registry), repository);
      const given = firstOf(explicit, keys);
      if (given !== undefined && !isEmpty(given)) return given;
      if (options.files === false) return undefined;
      for (const { path, required } of authFilePaths(options.env, options.uid)) {
        const file = await readAuthFile(path);
        if (file === undefined && required) throw missing(path);
        const found = file === undefined ? undefined : await findInFile(file, keys, options, signal);
        if (found !== undefined) return found;
      }
      return undefined;
    },
  };
}

/** A file's helpers come before what it holds itself, as with docker. */
async function findInFile(
  file: AuthFile,
  keys: readonly string[],
  options: CredentialsOptions,
  signal: AbortSignal | undefined,
): Promise<RegistryCredentials | undefined> {
  const helperKey = keys.find((key) => file.credHelpers.has(key));
  const helper = helperKey === undefined ? undefined : file.credHelpers.get(helperKey);
  const host = keys.at(-1) ?? "";
  for (const [name, key] of [
    [helper, helperKey ?? host],
    [helper === undefined ? file.credsStore : undefined, host],
  ] as const) {
    if (name === undefined || name === "") continue;
    for (const server of serverNames(key)) {
      const found = await askCredentialHelper({
        helper: name,
        server,
        env: options.env,
        timeoutMs: options.helperMs,
        signal,
      });
      if (found !== undefined) return found;
    }
  }
  return firstOf(file.auths, keys);
}

/** Docker stores its hub under this old URL; other programs use the plain name. */
function serverNames(key: string): string[] {
  return isDockerHub(key) ? ["https://index.docker.io/v1/", "docker.io"] : [key];
}

function firstOf<T>(map: ReadonlyMap<string, T>, keys: readonly string[]): T | undefined {
  for (const key of keys) {
    const value = map.get(key);
    if (value !== undefined) return value;
  }
  return undefined;
}

function isEmpty(credentials: RegistryCredentials): boolean {
  const { username, password, identityToken, registryToken } = credentials;
  return !username && !password && !identityToken && !registryToken;
}

function missing(path: string): KilnError {
  return new KilnError(
    Code.FailedPrecondition,
    `read registry credentials from ${path}: there is no such file`,
    {
      reason: ImageReason.InvalidAuthFile,
      hint: "REGISTRY_AUTH_FILE names it: create it or unset the variable",
    },
  );
}
