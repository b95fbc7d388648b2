// A repository wherever it may be asked for: each request goes to the hosts in order, mirrors first, until one answers.

import { Code, KilnError } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";
import type { CredentialSource } from "../auth/credentials.js";
import { isDigest } from "../digest.js";
import { isUnreachable } from "../http/failures.js";
import { withRetries } from "../http/retry.js";
import type { ImageLimits } from "../limits.js";
import { ImageReason } from "../reasons.js";
import { formatReference, type Reference } from "../reference.js";
import { type BlobDownload, downloadBlob } from "./blob-download.js";
import { needsProbe, planEndpoints, probeLoopbackScheme } from "./endpoint.js";
import { loadHosts } from "./hosts-file.js";
import { type FetchedManifest, fetchManifest } from "./manifest-fetch.js";
import { RegistrySession } from "./session.js";

export interface RemoteOptions {
  readonly reference: Reference;
  readonly plainHttp: boolean;
  /** certs.d directories, most specific first. */
  readonly hostsDirectories: readonly string[];
  readonly credentials: CredentialSource;
  readonly env: NodeJS.ProcessEnv;
  readonly limits: ImageLimits;
  readonly log: Logger;
  readonly signal?: AbortSignal | undefined;
}

/** Tries of a host that is not the last one: a mirror that is down must not cost more than asking without it. */
const MIRROR_ATTEMPTS = 2;

export class RemoteRepository implements Disposable {
  readonly #options: RemoteOptions;
  readonly #sessions: readonly RegistrySession[];
  readonly #unreachable = new Set<RegistrySession>();

  private constructor(options: RemoteOptions, sessions: readonly RegistrySession[]) {
    this.#options = options;
    this.#sessions = sessions;
  }

  /**
   * Reads the configuration and plans whom to ask; asks nobody yet, but for a registry on this machine whether it
   * speaks TLS.
   *
   * @throws KilnError `invalid-hosts-file`, `registry-unreachable`
   */
  static async open(options: RemoteOptions): Promise<RemoteRepository> {
    const { reference, plainHttp, limits, signal, credentials, env } = options;
    const { registry, repository } = reference;
    const hosts = await loadHosts(registry, options.hostsDirectories);
    const probe = needsProbe({ registry, hosts, plainHttp });
    // Where mirrors stand before it, the registry itself need not even run.
    const fallback = (hosts?.mirrors.length ?? 0) > 0 ? "http" : undefined;
    const loopbackScheme = probe
      ? await probeLoopbackScheme(registry, { answerMs: limits.answerMs, signal, fallback })
      : "https";
    const endpoints = planEndpoints({ registry, hosts, plainHttp, loopbackScheme });
    const sessions = endpoints.map(
      (endpoint) => new RegistrySession({ endpoint, repository, credentials, env, limits }),
    );
    return new RemoteRepository(options, sessions);
  }

  /** A manifest by tag or digest. */
  async manifest(reference: string, what: string): Promise<FetchedManifest> {
    const { limits, signal } = this.#options;
    const byDigest = isDigest(reference);
    const able = ({ endpoint }: RegistrySession) => (byDigest ? endpoint.pull : endpoint.resolve);
    return await this.#ask(able, what, async (session, last) => {
      const attempts = last ? limits.attempts : Math.min(limits.attempts, MIRROR_ATTEMPTS);
      return await withRetries({ limits: { ...limits, attempts }, signal }, () =>
        fetchManifest(session, { reference, what, limits, signal }),
      );
    });
  }

  /** A blob into its sink. */
  async blob(download: BlobDownload): Promise<void> {
    const what = `blob ${download.digest}`;
    await this.#ask(
      ({ endpoint }) => endpoint.pull,
      what,
      (session, last) => downloadBlob(session, download, last),
    );
  }

  /** Drops all connections. */
  [Symbol.dispose](): void {
    for (const session of this.#sessions) session.close();
  }

  async #ask<T>(
    able: (session: RegistrySession) => boolean,
    what: string,
    ask: (session: RegistrySession, last: boolean) => Promise<T>,
  ): Promise<T> {
    const sessions = this.#sessions.filter(able);
    for (const [index, session] of sessions.entries()) {
      const last = index === sessions.length - 1;
      if (!last && this.#unreachable.has(session)) continue;
      try {
        return await ask(session, last);
      } catch (error) {
        const failure = KilnError.from(error);
        if (last || this.#options.signal?.aborted || isOurs(failure)) throw failure;
        if (isUnreachable(failure)) this.#unreachable.add(session);
        this.#options.log.warn("mirror failed, asking the next host", {
          mirror: session.host,
          what,
          reason: failure.reason,
          error: failure.message,
        });
      }
    }
    throw new KilnError(Code.FailedPrecondition, `${what}: hosts.toml allows no host to be asked for it`, {
      reason: ImageReason.InvalidHostsFile,
      hint: `give a host of ${formatReference(this.#options.reference)} the capabilities "pull" and "resolve"`,
    });
  }
}

/** A full disk is full for every mirror. */
function isOurs(failure: KilnError): boolean {
  return failure.reason === "host-disk-full" || failure.reason === ImageReason.InvalidAuthFile;
}
