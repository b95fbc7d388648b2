// Bearer tokens (distribution-spec's token authentication): GET with Basic, or OAuth2 POST with an identity token.
// Plans the request, reads the answer. The realm is a registry's word: checked like a redirect before anything is sent.

import * as v from "valibot";
import { Code, KilnError } from "../../base/errors.js";
import { readWhole } from "../http/body.js";
import type { Challenge } from "../http/challenge.js";
import type { HttpAnswer, HttpClient } from "../http/client.js";
import { sendFollowing, whyRefused } from "../http/redirects.js";
import { statusError } from "../http/status.js";
import type { ImageLimits } from "../limits.js";
import { ImageReason } from "../reasons.js";
import type { RegistryCredentials } from "../types.js";
import type { Endpoint } from "./endpoint.js";

const MAX_ANSWER = 1024 * 1024;
const CLIENT_ID = "kiln";
/** The token specification's default, and the least that is believed. */
const MIN_LIFE_MS = 60_000;
const MAX_LIFE_MS = 24 * 3_600_000;

/** Either of the two names may hold nothing beside the other. */
const Token = v.nullish(v.pipe(v.string(), v.maxLength(262_144), v.regex(/^[\x21-\x7e]*$/)));
/** A number; some write it as a string. Whatever else it is, the least is believed. */
const Seconds = v.fallback(v.pipe(v.union([v.number(), v.string()]), v.transform(Number)), 0);
const TokenAnswer = v.looseObject({ token: Token, access_token: Token, expires_in: v.optional(Seconds, 0) });

export interface BearerToken {
  readonly value: string;
  /** From its receipt; shortened, so that it does not run out between our check and the registry's. */
  readonly lifeMs: number;
}

export interface TokenRequest {
  readonly method: "GET" | "POST";
  readonly url: URL;
  /** Credentials: for this URL's origin only. */
  readonly privateHeaders: Readonly<Record<string, string>>;
  readonly body?: string;
}

/**
 * @param challenge a Bearer challenge of `endpoint`
 * @param repository for the scope where the challenge names none
 * @throws KilnError failed_precondition `registry-error` for a realm that can't be used
 */
export function planTokenRequest(
  challenge: Challenge,
  endpoint: Pick<Endpoint, "root" | "plainHttp">,
  repository: string,
  credentials: RegistryCredentials | undefined,
): TokenRequest {
  const url = checkedRealm(challenge.parameters.get("realm"), endpoint);
  const service = challenge.parameters.get("service");
  const scope = challenge.parameters.get("scope") ?? `repository:${repository}:pull`;
  if (credentials?.identityToken) {
    const form = new URLSearchParams({
      grant_type: "refresh_token",
      refresh_token: credentials.identityToken,
      client_id: CLIENT_ID,
      scope,
    });
    if (service !== undefined) form.set("service", service);
    return { method: "POST", url, privateHeaders: {}, body: form.toString() };
  }
  if (service !== undefined) url.searchParams.set("service", service);
  // several scopes are several parameters (distribution's token specification)
  for (const part of scope.split(" ").filter((word) => word !== "")) url.searchParams.append("scope", part);
  const basic = basicHeader(credentials);
  if (basic === undefined) return { method: "GET", url, privateHeaders: {} };
  url.searchParams.set("account", credentials?.username ?? "");
  return { method: "GET", url, privateHeaders: { authorization: basic } };
}

/** The header of HTTP Basic; undefined without a user name. */
export function basicHeader(credentials: RegistryCredentials | undefined): string | undefined {
  if (!credentials?.username) return undefined;
  const pair = `${credentials.username}:${credentials.password ?? ""}`;
  return `Basic ${Buffer.from(pair, "utf8").toString("base64")}`;
}

/** Every form in which credentials could come back in a server's words. */
export function secretsOf(credentials: RegistryCredentials | undefined): string[] {
  const basic = basicHeader(credentials)?.slice("Basic ".length);
  const { password, identityToken, registryToken } = credentials ?? {};
  return [password, identityToken, registryToken, basic].filter((text) => !!text) as string[];
}

export interface FetchTokenOptions {
  readonly client: HttpClient;
  readonly request: TokenRequest;
  readonly endpoint: Pick<Endpoint, "plainHttp" | "credentialsKey">;
  readonly limits: Pick<ImageLimits, "answerMs" | "stallMs" | "redirects">;
  readonly secrets: readonly string[];
  readonly signal?: AbortSignal | undefined;
}

/** @throws KilnError `unauthorized`, `registry-error`, `registry-timeout`, ... */
export async function fetchToken(options: FetchTokenOptions): Promise<BearerToken> {
  const { limits, secrets, signal } = options;
  const answer = await sendTokenRequest(options);
  const what = `log in to ${options.endpoint.credentialsKey}`;
  if (answer.status !== 200) {
    const { answerMs, stallMs } = limits;
    throw await statusError(answer, { what, answerMs, stallMs, secrets });
  }
  const body = await readWhole(answer.body, { ...limits, what, signal, limit: MAX_ANSWER });
  return parseTokenAnswer(body.toString("utf8"), what);
}

/** @throws KilnError failed_precondition `registry-error`; the answer itself is never shown */
export function parseTokenAnswer(text: string, what: string): BearerToken {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined; // reported below, without quoting what may be a token
  }
  const parsed = v.safeParse(TokenAnswer, json);
  const value = parsed.success ? parsed.output.token || parsed.output.access_token : undefined;
  if (!parsed.success || !value) {
    throw new KilnError(Code.FailedPrecondition, `${what}: the token server's answer holds no usable token`, {
      reason: ImageReason.RegistryError,
    });
  }
  const seconds = parsed.output.expires_in;
  const lifeMs = Math.min(MAX_LIFE_MS, Math.max(MIN_LIFE_MS, Number.isFinite(seconds) ? seconds * 1000 : 0));
  return { value, lifeMs: lifeMs * 0.8 };
}

async function sendTokenRequest(options: FetchTokenOptions): Promise<HttpAnswer> {
  const { client, request, signal } = options;
  const headers = { accept: "application/json", "accept-encoding": "identity", "user-agent": CLIENT_ID };
  if (request.method === "POST") {
    // Not followed: a redirected POST would carry the identity token to another host.
    return await client.send({
      method: "POST",
      url: request.url,
      headers: { ...headers, "content-type": "application/x-www-form-urlencoded" },
      body: request.body ?? "",
      signal,
    });
  }
  return await sendFollowing(
    client,
    { method: "GET", url: request.url, headers, privateHeaders: request.privateHeaders, signal },
    { redirects: options.limits.redirects, plainHttp: options.endpoint.plainHttp },
  );
}

function checkedRealm(realm: string | undefined, endpoint: Pick<Endpoint, "root" | "plainHttp">): URL {
  const url = realm !== undefined && URL.canParse(realm) ? new URL(realm) : undefined;
  const why = url === undefined ? "which is no URL" : whyRefused(endpoint.root, url, endpoint);
  if (url !== undefined && why === undefined) return url;
  throw new KilnError(
    Code.FailedPrecondition,
    `registry ${endpoint.root.host} names a token server that kiln does not ask: ${why}`,
    { reason: ImageReason.RegistryError },
  );
}
