// One HTTP exchange with one registry: own agents, own trust, own clock. Follows no redirect and knows no credentials.

import {
  type ClientRequest,
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingMessage,
} from "node:http";
import { Agent as HttpsAgent, request as httpsRequest, type RequestOptions } from "node:https";
import { connect as connectTls, type SecureContext } from "node:tls";
import type { ImageLimits } from "../limits.js";
import { networkError, timeoutError } from "./failures.js";
import { openTunnel, proxyFor, proxyHeaders } from "./proxy.js";
import { secureContext, type TlsSettings } from "./trust.js";

export type Headers = Readonly<Record<string, string | readonly string[]>>;

export interface HttpRequest {
  readonly method: "GET" | "HEAD" | "POST";
  readonly url: URL;
  readonly headers: Headers;
  readonly body?: string;
  readonly signal?: AbortSignal | undefined;
}

export interface HttpAnswer {
  readonly status: number;
  /** Not yet read: the receiver reads it to its end or destroys it. */
  readonly body: IncomingMessage;
  /** Where it came from in the end. */
  readonly url: URL;
}

export interface HttpClientOptions {
  /** The host that the TLS settings are for: its client certificates are shown to nobody else. */
  readonly home: URL;
  readonly tls: TlsSettings;
  readonly env: NodeJS.ProcessEnv;
  readonly limits: Pick<ImageLimits, "answerMs">;
}

const SOCKETS_PER_HOST = 8;

export class HttpClient implements Disposable {
  readonly #options: HttpClientOptions;
  readonly #plain = new HttpAgent({ keepAlive: true, maxSockets: SOCKETS_PER_HOST });
  #home: HttpsAgent | undefined;
  #elsewhere: HttpsAgent | undefined;

  constructor(options: HttpClientOptions) {
    this.#options = options;
  }

  /**
   * Sends one request and waits for the answer's header.
   *
   * @throws KilnError as failures.ts makes them
   */
  async send(request: HttpRequest): Promise<HttpAnswer> {
    request.signal?.throwIfAborted();
    const what = `registry ${request.url.host}`;
    try {
      const outgoing = await this.#open(request);
      const body = await this.#answer(outgoing, request, what);
      return { status: body.statusCode ?? 0, body, url: request.url };
    } catch (error) {
      throw networkError(error, what, request.signal);
    }
  }

  /** Drops idle connections. */
  close(): void {
    for (const agent of [this.#plain, this.#home, this.#elsewhere]) agent?.destroy();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async #open(request: HttpRequest): Promise<ClientRequest> {
    const { url } = request;
    const proxy = proxyFor(url, this.#options.env);
    const base: RequestOptions = {
      method: request.method,
      headers: { ...copyHeaders(request.headers) },
      signal: request.signal,
    };
    if (url.protocol === "http:")
      return proxy === undefined ? this.#direct(url, base) : this.#forward(proxy, url, base);
    if (proxy === undefined) return httpsRequest(url, { ...base, agent: this.#tlsAgent(url) });
    const { answerMs } = this.#options.limits;
    const tunnel = await openTunnel(proxy, url, { answerMs, signal: request.signal });
    const socket = connectTls({ ...this.#tlsOptions(url), socket: tunnel, servername: url.hostname });
    return httpsRequest(url, { ...base, createConnection: () => socket });
  }

  #direct(url: URL, base: RequestOptions): ClientRequest {
    return httpRequest(url, { ...base, agent: this.#plain });
  }

  #forward(proxy: URL, url: URL, base: RequestOptions): ClientRequest {
    return httpRequest({
      ...base,
      host: proxy.hostname.replace(/^\[|\]$/g, ""),
      port: proxy.port || 80,
      path: url.href,
      headers: { ...base.headers, host: url.host, ...proxyHeaders(proxy) },
      agent: this.#plain,
    });
  }

  #answer(outgoing: ClientRequest, request: HttpRequest, what: string): Promise<IncomingMessage> {
    const { answerMs } = this.#options.limits;
    return new Promise((resolve, reject) => {
      const clock = setTimeout(() => outgoing.destroy(timeoutError(what, answerMs)), answerMs);
      outgoing.once("error", (error) => {
        clearTimeout(clock);
        reject(error);
      });
      outgoing.once("response", (answer) => {
        clearTimeout(clock);
        // An answer that nobody reads yet may be cut: without a listener that would end the process.
        answer.on("error", () => undefined);
        resolve(answer);
      });
      outgoing.end(request.body);
    });
  }

  #tlsAgent(url: URL): HttpsAgent {
    const home = this.#isHome(url);
    const known = home ? this.#home : this.#elsewhere;
    if (known !== undefined) return known;
    const options = { keepAlive: true, maxSockets: SOCKETS_PER_HOST, ...this.#tlsOptions(url) };
    const agent = new HttpsAgent(options);
    if (home) this.#home = agent;
    else this.#elsewhere = agent;
    return agent;
  }

  #tlsOptions(url: URL): { secureContext: SecureContext; rejectUnauthorized: boolean } {
    const { tls, env } = this.#options;
    const { clientCertificates: _, ...shared } = tls;
    return {
      secureContext: secureContext(this.#isHome(url) ? tls : shared, env),
      rejectUnauthorized: tls.skipVerify !== true,
    };
  }

  #isHome(url: URL): boolean {
    return url.origin === this.#options.home.origin;
  }
}

function copyHeaders(headers: Headers): Record<string, string | string[]> {
  const copy: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers))
    copy[name] = typeof value === "string" ? value : [...value];
  return copy;
}
