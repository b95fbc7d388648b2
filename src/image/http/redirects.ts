// Redirects, followed by hand: registries hand out blobs through other hosts, and those must learn nothing about us.

import { Code, KilnError } from "../../base/errors.js";
import { ImageReason } from "../reasons.js";
import type { Headers, HttpAnswer, HttpClient, HttpRequest } from "./client.js";
import { showUrl } from "./failures.js";
import { isLocalHost, isLoopbackHost } from "./hosts.js";

export interface RedirectRules {
  readonly redirects: number;
  /** Plain HTTP also off loopback. */
  readonly plainHttp: boolean;
}

export interface FollowRequest extends Omit<HttpRequest, "method" | "body"> {
  readonly method: "GET" | "HEAD";
  /** Sent to the first origin (scheme, host, port) only: credentials, and headers that hosts.toml adds for that host. */
  readonly privateHeaders: Headers;
}

const REDIRECT = new Set([301, 302, 303, 307, 308]);
const MAX_LOCATION = 16_384;

/**
 * Sends and follows. Once a redirect has left the first origin, private headers are gone for good, even if a later one
 * comes back.
 *
 * @throws KilnError failed_precondition `redirect-refused`
 */
export async function sendFollowing(
  client: HttpClient,
  request: FollowRequest,
  rules: RedirectRules,
): Promise<HttpAnswer> {
  let url = request.url;
  let atHome = true;
  for (let hops = 0; ; hops++) {
    const headers = atHome ? { ...request.headers, ...request.privateHeaders } : request.headers;
    const answer = await client.send({ method: request.method, url, headers, signal: request.signal });
    const location = answer.body.headers.location;
    if (!REDIRECT.has(answer.status) || location === undefined) return answer;
    answer.body.destroy();
    if (hops >= rules.redirects)
      throw refused(request.url, `it redirects more than ${rules.redirects} times`);
    const next = planRedirect(url, location, rules);
    atHome &&= next.origin === request.url.origin;
    url = next;
  }
}

/**
 * Where a redirect leads.
 *
 * @throws KilnError failed_precondition `redirect-refused`
 */
export function planRedirect(from: URL, location: string, rules: Pick<RedirectRules, "plainHttp">): URL {
  if (location.length > MAX_LOCATION || !URL.canParse(location, from.href)) {
    throw refused(from, "it redirects to something that is no URL");
  }
  const to = new URL(location, from);
  const why = whyRefused(from, to, rules);
  if (why !== undefined) throw refused(from, `it redirects to an address ${why}`);
  to.hash = "";
  return to;
}

/** Why `from` may not send us to `to`, as the end of a sentence; undefined where it may. */
export function whyRefused(from: URL, to: URL, rules: Pick<RedirectRules, "plainHttp">): string | undefined {
  if (to.protocol !== "https:" && to.protocol !== "http:") return `that is not HTTP (${to.protocol})`;
  if (to.username !== "" || to.password !== "") return "with a password in it";
  if (to.protocol === "http:" && from.protocol === "https:") return `without TLS (${showUrl(to)})`;
  if (to.protocol === "http:" && !rules.plainHttp && !isLoopbackHost(to.hostname)) {
    return `in plain HTTP (${showUrl(to)})`;
  }
  // A registry must not make us ask this machine's own services, or the cloud's metadata address.
  if (isLocalHost(to.hostname) && !isLocalHost(from.hostname)) return `on this machine (${showUrl(to)})`;
  return undefined;
}

function refused(from: URL, why: string): KilnError {
  return new KilnError(Code.FailedPrecondition, `registry ${from.host}: ${showUrl(from)} refused: ${why}`, {
    reason: ImageReason.RedirectRefused,
  });
}
