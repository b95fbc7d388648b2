// The credentials that come with a pull. Only these are used, none of kilnd's own files: the kubelet decides which pod
// may see which image.

import { defined } from "../base/defined.js";
import { Code, KilnError } from "../base/errors.js";
import type { RegistryCredentials } from "../engine/index.js";
import type { AuthConfig } from "../gen/runtime/v1/api_pb.js";

const HUB = "docker.io";
const HUBS = [HUB, "index.docker.io", "registry-1.docker.io"];
const TOKEN = /^[\x21-\x7e]+$/;
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

/**
 * What to show the registry; undefined: nothing.
 *
 * @param registry as in references: "docker.io"
 * @throws KilnError invalid_argument `bad-auth`, without a word of what it holds
 */
export function credentialsFor(
  registry: string,
  auth: AuthConfig | undefined,
): RegistryCredentials | undefined {
  if (auth === undefined || !isMeant(registry, auth.serverAddress)) return undefined;
  const { username, password, identityToken, registryToken } = auth;
  if (username !== "") return { username, password };
  if (identityToken !== "") return { identityToken };
  if (auth.auth !== "") return fromBase64(auth.auth);
  if (registryToken === "") return undefined;
  if (!TOKEN.test(registryToken)) throw badAuth("registry_token is no token");
  return { registryToken };
}

/** A secret that names a server is that server's alone. */
function isMeant(registry: string, address: string): boolean {
  if (address === "") return true;
  const url = /^[a-z]+:\/\//i.test(address) ? address : `https://${address}`;
  const host = URL.canParse(url) ? new URL(url).host : address;
  return canonical(host) === canonical(registry);
}

function canonical(host: string): string {
  return HUBS.includes(host) ? HUB : host.toLowerCase();
}

/** "user:password" in base64, as Docker's configuration has it. */
function fromBase64(text: string): RegistryCredentials {
  const pair = BASE64.test(text) ? Buffer.from(text, "base64").toString("utf8") : "";
  const colon = pair.indexOf(":");
  if (colon < 1) throw badAuth("auth is no user:password in base64");
  // Some write a NUL after it.
  return defined({ username: pair.slice(0, colon), password: pair.slice(colon + 1).replace(/\0+$/, "") });
}

function badAuth(why: string): KilnError {
  return new KilnError(Code.InvalidArgument, `the pull's credentials can't be used: ${why}`, {
    reason: "bad-auth",
    hint: "look at the pod's imagePullSecrets",
  });
}
