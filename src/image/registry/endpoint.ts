// Which hosts a pull may talk to, in order: configured mirrors, then the registry that was named. Nobody else, ever.

import { connect as connectTls } from "node:tls";
import { onAbort } from "../../base/abort.js";
import { Code, errnoOf, KilnError } from "../../base/errors.js";
import { isDockerHub } from "../auth/auth-file.js";
import type { Headers } from "../http/client.js";
import { isLoopbackHost } from "../http/hosts.js";
import type { TlsSettings } from "../http/trust.js";
import { ImageReason } from "../reasons.js";
import { DEFAULT_REGISTRY, registryHost } from "../reference.js";
import type { HostEntry, HostsConfig } from "./hosts-file.js";

/** One host that answers for a registry. */
export interface Endpoint {
  /** Root of the API, "/v2" included, without a final slash. */
  readonly root: URL;
  /** Whose credentials are shown to it: a mirror gets its own, never the registry's. */
  readonly credentialsKey: string;
  /** May be asked what a tag means. */
  readonly resolve: boolean;
  /** May be asked for content by digest. */
  readonly pull: boolean;
  readonly headers: Headers;
  readonly tls: TlsSettings;
  /** Plain HTTP was asked for, so also off loopback. */
  readonly plainHttp: boolean;
  /** The registry it stands in for: sent as `ns`, as containerd does, for mirrors of several registries. */
  readonly namespace: string | undefined;
}

export interface EndpointOptions {
  /** As in references: "docker.io". */
  readonly registry: string;
  readonly hosts: HostsConfig | undefined;
  /** Plain HTTP also off loopback, for the registry itself. */
  readonly plainHttp: boolean;
  /** What a registry on this machine was found to speak. */
  readonly loopbackScheme: "http" | "https";
}

/**
 * The plan of a pull: whom to ask, in order.
 *
 * @throws KilnError failed_precondition `invalid-hosts-file` for plain HTTP to a registry that hosts.toml does not name so
 */
export function planEndpoints(options: EndpointOptions): Endpoint[] {
  const mirrors = (options.hosts?.mirrors ?? []).map((entry) => mirrorEndpoint(entry, options.registry));
  const origin = originEndpoint(options);
  return [...mirrors, origin].filter((endpoint) => endpoint.pull || endpoint.resolve);
}

/** True where the registry's scheme is not known from its name or the configuration: it must be tried. */
export function needsProbe(options: Omit<EndpointOptions, "loopbackScheme">): boolean {
  if (options.plainHttp || options.hosts?.server !== undefined) return false;
  return isLoopbackHost(new URL(`https://${options.registry}`).hostname);
}

function mirrorEndpoint(entry: HostEntry, registry: string): Endpoint {
  const isOrigin = entry.url.host === registryHost(registry);
  return {
    ...common(entry),
    root: entry.url,
    credentialsKey: credentialsKey(entry.url),
    // An address in hosts.toml that says http:// was asked for by the machine's owner.
    plainHttp: entry.url.protocol === "http:",
    namespace: isOrigin ? undefined : registry,
  };
}

function originEndpoint(options: EndpointOptions): Endpoint {
  const { registry, hosts } = options;
  const settings = hosts?.origin ?? { resolve: true, pull: true, headers: {}, tls: {} };
  const host = registryHost(registry);
  const server = hosts?.server;
  if (server !== undefined) {
    const same = server.host === new URL(`https://${host}`).host;
    return {
      ...common(settings),
      root: server,
      credentialsKey: same ? registry : credentialsKey(server),
      plainHttp: server.protocol === "http:",
      namespace: same ? undefined : registry,
    };
  }
  const loopback = isLoopbackHost(new URL(`https://${host}`).hostname);
  const plain = options.plainHttp || (loopback && options.loopbackScheme === "http");
  return {
    ...common(settings),
    root: new URL(`${plain ? "http" : "https"}://${host}/v2`),
    credentialsKey: registry,
    plainHttp: options.plainHttp,
    namespace: undefined,
  };
}

function common(entry: Omit<HostEntry, "url">): Pick<Endpoint, "resolve" | "pull" | "headers" | "tls"> {
  return { resolve: entry.resolve, pull: entry.pull, headers: entry.headers, tls: entry.tls };
}

function credentialsKey(url: URL): string {
  return isDockerHub(url.host) ? DEFAULT_REGISTRY : url.host;
}

/**
 * What a registry on this machine speaks: TLS if it answers a TLS greeting at all (whatever its certificate), else HTTP.
 *
 * @param options.fallback what to say where nothing listens; without it that is an error
 * @throws KilnError unavailable `registry-unreachable` where nothing listens
 */
export async function probeLoopbackScheme(
  registry: string,
  options: { answerMs: number; signal?: AbortSignal | undefined; fallback?: "http" | undefined },
): Promise<"http" | "https"> {
  options.signal?.throwIfAborted();
  const url = new URL(`https://${registry}`);
  const host = url.hostname.replace(/^\[|\]$/g, "");
  return await new Promise((resolve, reject) => {
    // Nothing is sent here but the greeting: the certificate is checked when it matters, by the real connection.
    const socket = connectTls({ host, port: Number(url.port || 443), rejectUnauthorized: false });
    const settle = (finish: () => void) => {
      listening[Symbol.dispose]();
      socket.destroy();
      finish();
    };
    const listening = onAbort(options.signal, (reason) => settle(() => reject(reason)));
    socket.setTimeout(options.answerMs, () => settle(() => resolve("http")));
    socket.once("secureConnect", () => settle(() => resolve("https")));
    socket.once("error", (error) => {
      const nobody = errnoOf(error) === "ECONNREFUSED" && options.fallback === undefined;
      settle(() => (nobody ? reject(unreachable(registry, error)) : resolve("http")));
    });
  });
}

function unreachable(registry: string, cause: unknown): KilnError {
  return new KilnError(Code.Unavailable, `registry ${registry}: nothing listens there (connection refused)`, {
    reason: ImageReason.RegistryUnreachable,
    hint: "check the registry's name and port",
    details: { unreachable: "true" },
    cause,
  });
}
