// One repository at one host during one pull: answers authentication challenges, keeps the token, follows redirects.

import { defined } from "../../base/defined.js";
import { Code, KilnError } from "../../base/errors.js";
import type { CredentialSource } from "../auth/credentials.js";
import { type Challenge, parseChallenges } from "../http/challenge.js";
import { type HttpAnswer, HttpClient } from "../http/client.js";
import { sendFollowing } from "../http/redirects.js";
import { LOGIN_HINT, statusError } from "../http/status.js";
import type { ImageLimits } from "../limits.js";
import { ImageReason } from "../reasons.js";
import type { RegistryCredentials } from "../types.js";
import type { Endpoint } from "./endpoint.js";
import { basicHeader, fetchToken, planTokenRequest, secretsOf } from "./token.js";

export interface SessionOptions {
  readonly endpoint: Endpoint;
  /** "library/alpine" */
  readonly repository: string;
  readonly credentials: CredentialSource;
  readonly env: NodeJS.ProcessEnv;
  readonly limits: ImageLimits;
}

export interface SessionRequest {
  readonly method?: "GET" | "HEAD";
  /** After the repository: "manifests/latest". */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** For messages: "manifest of ghcr.io/a/b:c". */
  readonly what: string;
  readonly signal?: AbortSignal | undefined;
}

interface Authorization {
  readonly header: string;
  /** performance.now() at which it is too old to be used. */
  readonly validUntil: number;
}

export class RegistrySession {
  readonly endpoint: Endpoint;
  readonly #options: SessionOptions;
  readonly #client: HttpClient;
  #authorization: Authorization | undefined;
  #authorizing: Promise<Authorization> | undefined;
  #secrets: readonly string[] = [];

  constructor(options: SessionOptions) {
    this.endpoint = options.endpoint;
    this.#options = options;
    this.#client = new HttpClient({
      home: options.endpoint.root,
      tls: options.endpoint.tls,
      env: options.env,
      limits: options.limits,
    });
  }

  /** "ghcr.io": for messages. */
  get host(): string {
    return this.endpoint.root.host;
  }

  /**
   * Sends one request, logging in where the registry asks for it. Every answer but 401 comes back as it is.
   *
   * @throws KilnError `unauthorized`, `registry-error`, `registry-timeout`, `registry-unreachable`, `tls-error`, ...
   */
  async send(request: SessionRequest): Promise<HttpAnswer> {
    const used = this.#usable();
    const answer = await this.#sendOnce(request, used);
    // A 401 of a host that we were redirected to is not a challenge of the registry: it gets no credentials.
    if (answer.status !== 401 || answer.url.origin !== this.endpoint.root.origin) return answer;
    const challenges = challengesOf(answer);
    const refusal = await this.error(answer, request.what);
    const fresh = await this.#authorize(challenges, used, refusal, request.signal);
    const second = await this.#sendOnce(request, fresh);
    if (second.status !== 401) return second;
    throw await this.error(second, request.what);
  }

  /** The error of an unwanted answer, which it closes. Secrets in the server's words are blotted out. */
  async error(answer: HttpAnswer, what: string): Promise<KilnError> {
    const { answerMs, stallMs } = this.#options.limits;
    return await statusError(answer, { what, answerMs, stallMs, secrets: this.#secrets });
  }

  close(): void {
    this.#client.close();
  }

  #usable(): Authorization | undefined {
    const known = this.#authorization;
    return known !== undefined && known.validUntil > performance.now() ? known : undefined;
  }

  async #sendOnce(request: SessionRequest, authorization: Authorization | undefined): Promise<HttpAnswer> {
    const { endpoint, limits, repository } = this.#options;
    const url = new URL(endpoint.root);
    url.pathname = `${url.pathname}/${repository}/${request.path}`;
    if (endpoint.namespace !== undefined) url.searchParams.set("ns", endpoint.namespace);
    return await sendFollowing(
      this.#client,
      {
        method: request.method ?? "GET",
        url,
        // A transport's compression would hide the bytes that the digest is of.
        headers: { ...request.headers, "accept-encoding": "identity", "user-agent": "kiln" },
        privateHeaders: {
          ...endpoint.headers,
          ...defined({ authorization: authorization?.header }),
        },
        signal: request.signal,
      },
      { redirects: limits.redirects, plainHttp: endpoint.plainHttp },
    );
  }

  /** One log-in at a time: layers that are refused together share its result. */
  async #authorize(
    challenges: readonly Challenge[],
    refused: Authorization | undefined,
    refusal: KilnError,
    signal: AbortSignal | undefined,
  ): Promise<Authorization> {
    const known = this.#usable();
    if (known !== undefined && known !== refused) return known;
    this.#authorizing ??= this.#answerChallenge(challenges, refused, refusal, signal).finally(() => {
      this.#authorizing = undefined;
    });
    const authorization = await this.#authorizing;
    this.#authorization = authorization;
    return authorization;
  }

  async #answerChallenge(
    challenges: readonly Challenge[],
    refused: Authorization | undefined,
    refusal: KilnError,
    signal: AbortSignal | undefined,
  ): Promise<Authorization> {
    const { credentials: source, repository, limits } = this.#options;
    const { endpoint } = this;
    const credentials = await source.find(endpoint.credentialsKey, repository, signal);
    this.#secrets = secretsOf(credentials);
    const bearer = challenges.find(({ scheme }) => scheme === "bearer");
    if (bearer !== undefined && credentials?.registryToken) {
      const header = `Bearer ${credentials.registryToken}`;
      if (header === refused?.header) throw withLoginHint(refusal, credentials);
      return { header, validUntil: Number.POSITIVE_INFINITY };
    }
    if (bearer !== undefined) {
      const request = planTokenRequest(bearer, endpoint, repository, credentials);
      const secrets = this.#secrets;
      const token = await fetchToken({ client: this.#client, request, endpoint, limits, secrets, signal });
      this.#secrets = [...secrets, token.value];
      return { header: `Bearer ${token.value}`, validUntil: performance.now() + token.lifeMs };
    }
    const basic = challenges.some(({ scheme }) => scheme === "basic");
    if (!basic) throw unknownScheme(this.host, challenges, refusal);
    const header = basicHeader(credentials);
    // The same password again would only lock an account.
    if (header === undefined || header === refused?.header) throw withLoginHint(refusal, credentials);
    return { header, validUntil: Number.POSITIVE_INFINITY };
  }
}

function challengesOf(answer: HttpAnswer): Challenge[] {
  // Node joins several headers of this name with a comma, which the grammar allows for
  const header = answer.body.headers["www-authenticate"];
  return header === undefined ? [] : parseChallenges(header);
}

function unknownScheme(host: string, challenges: readonly Challenge[], refusal: KilnError): KilnError {
  const schemes = challenges.map(({ scheme }) => scheme.slice(0, 20)).join(", ") || "none";
  return new KilnError(
    Code.Unauthenticated,
    `registry ${host} wants a login of a kind that kiln does not know (${schemes}); kiln knows Basic and Bearer`,
    { reason: ImageReason.Unauthorized, cause: refusal },
  );
}

function withLoginHint(refusal: KilnError, credentials: RegistryCredentials | undefined): KilnError {
  const found =
    credentials === undefined ? "no credentials were found for it" : "the credentials were refused";
  return new KilnError(refusal.code, `${refusal.message} (${found})`, {
    reason: refusal.reason,
    hint: LOGIN_HINT,
    details: refusal.details,
    cause: refusal,
  });
}
