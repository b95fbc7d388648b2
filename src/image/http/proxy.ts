// HTTP proxies by the environment, as curl and Go programs read it: HTTPS_PROXY, HTTP_PROXY, NO_PROXY.

import { request as httpRequest } from "node:http";
import { BlockList, isIP, type Socket } from "node:net";
import { Code, KilnError } from "../../base/errors.js";
import { ImageReason } from "../reasons.js";
import { networkError, timeoutError } from "./failures.js";
import { isLoopbackHost } from "./hosts.js";

/**
 * The proxy for an URL; undefined for a direct connection. This machine is never asked through a proxy.
 *
 * @throws KilnError invalid_argument where the variable holds no http:// URL; its value is not shown (passwords)
 */
export function proxyFor(url: URL, env: NodeJS.ProcessEnv): URL | undefined {
  if (isLoopbackHost(url.hostname)) return undefined;
  const name = url.protocol === "https:" ? "HTTPS_PROXY" : "HTTP_PROXY";
  const value = env[name.toLowerCase()] || env[name];
  if (!value || isExempt(url, env.no_proxy || env.NO_PROXY || "")) return undefined;
  try {
    const proxy = new URL(value.includes("://") ? value : `http://${value}`);
    if (proxy.protocol === "http:") return proxy;
  } catch {
    // said below, without the value
  }
  throw new KilnError(Code.InvalidArgument, `the environment's ${name} is not an http:// URL`, {
    reason: ImageReason.RegistryUnreachable,
    hint: `set ${name} to http://HOST:PORT, or unset it`,
  });
}

/** The Proxy-Authorization header of a proxy URL with a user; else nothing. */
export function proxyHeaders(proxy: URL): Record<string, string> {
  if (proxy.username === "") return {};
  const pair = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`;
  return { "proxy-authorization": `Basic ${Buffer.from(pair).toString("base64")}` };
}

/** A connection to the target through the proxy (CONNECT, RFC 9110, 9.3.6); TLS is the caller's. */
export function openTunnel(
  proxy: URL,
  target: URL,
  options: { answerMs: number; signal?: AbortSignal | undefined },
): Promise<Socket> {
  const what = `proxy ${proxy.host}`;
  const authority = `${target.hostname}:${target.port || "443"}`;
  return new Promise((resolve, reject) => {
    const connect = httpRequest({
      host: proxy.hostname.replace(/^\[|\]$/g, ""),
      port: proxy.port || 80,
      method: "CONNECT",
      path: authority,
      headers: { host: authority, ...proxyHeaders(proxy) },
      agent: false,
      signal: options.signal,
    });
    connect.setTimeout(options.answerMs, () => connect.destroy(timeoutError(what, options.answerMs)));
    connect.once("error", (error) => reject(networkError(error, what, options.signal)));
    connect.once("connect", (answer, socket) => {
      socket.setTimeout(0);
      if (answer.statusCode === 200) return resolve(socket);
      socket.destroy();
      reject(
        new KilnError(
          Code.FailedPrecondition,
          `${what} refused to connect to ${authority}: HTTP ${answer.statusCode}`,
          {
            reason: ImageReason.RegistryUnreachable,
            hint: "check HTTPS_PROXY and NO_PROXY in the daemon's environment",
          },
        ),
      );
    });
    connect.end();
  });
}

function isExempt(url: URL, list: string): boolean {
  const host = url.hostname.toLowerCase().replace(/^\[|\]$/g, "");
  const port = url.port || (url.protocol === "https:" ? "443" : "80");
  return list.split(",").some((entry) => matches(entry.trim().toLowerCase(), host, port));
}

function matches(entry: string, host: string, port: string): boolean {
  if (entry === "") return false;
  if (entry === "*") return true;
  if (entry.includes("/")) return inSubnet(entry, host);
  const withPort = /^(.*):([0-9]+)$/.exec(entry);
  const name = (isIP(entry) === 0 && withPort !== null ? (withPort[1] ?? "") : entry).replace(/^\*?\./, "");
  if (isIP(entry) === 0 && withPort !== null && withPort[2] !== port) return false;
  return host === name || host.endsWith(`.${name}`);
}

function inSubnet(entry: string, host: string): boolean {
  const [network = "", bits = ""] = entry.split("/");
  const family = isIP(network);
  const prefix = Number(bits);
  if (family === 0 || isIP(host) !== family || !/^[0-9]{1,3}$/.test(bits)) return false;
  if (prefix > (family === 4 ? 32 : 128)) return false;
  const list = new BlockList();
  list.addSubnet(network, prefix, family === 4 ? "ipv4" : "ipv6");
  return list.check(host, family === 4 ? "ipv4" : "ipv6");
}
