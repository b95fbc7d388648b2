// Whom TLS trusts: the machine's CA bundle, or Node's own where the machine has none, plus what hosts.toml adds.

import { createSecureContext, rootCertificates, type SecureContext } from "node:tls";
import { Code, errnoOf, KilnError } from "../../base/errors.js";
import { readPlainFileSync } from "../../base/plain-file.js";
import { ImageReason } from "../reasons.js";

/** TLS settings of one registry host, as hosts.toml gives them. PEM texts. */
export interface TlsSettings {
  readonly ca?: readonly string[];
  readonly clientCertificates?: readonly { readonly cert: string; readonly key: string }[];
  readonly skipVerify?: boolean;
}

/** Debian's has 230 kB. */
const MAX_BUNDLE = 16 * 1024 * 1024;

// The bundles of Debian/Alpine, Fedora, openSUSE
const SYSTEM_BUNDLES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
];

/**
 * @param settings of the host; the client certificates only where it is the host they were configured for
 * @param env SSL_CERT_FILE names another bundle, as for every program that uses OpenSSL
 */
export function secureContext(settings: TlsSettings, env: NodeJS.ProcessEnv): SecureContext {
  const client = settings.clientCertificates ?? [];
  try {
    return createSecureContext({
      ca: [...systemRoots(env), ...(settings.ca ?? [])],
      ...(client.length === 0
        ? {}
        : { cert: client.map((pair) => pair.cert), key: client.map((pair) => pair.key) }),
    });
  } catch (error) {
    throw new KilnError(
      Code.FailedPrecondition,
      `a configured certificate or key can't be used: ${(error as Error).message}`,
      {
        reason: ImageReason.TlsError,
        hint: "CA certificates, client certificates and keys must be PEM files",
      },
    );
  }
}

function systemRoots(env: NodeJS.ProcessEnv): readonly string[] {
  const places = env.SSL_CERT_FILE ? [env.SSL_CERT_FILE] : SYSTEM_BUNDLES;
  for (const place of places) {
    try {
      return [readPlainFileSync(place, MAX_BUNDLE).toString("utf8")];
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw KilnError.from(error, `read the CA bundle ${place}`);
    }
  }
  return rootCertificates;
}
