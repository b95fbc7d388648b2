// One manifest from one host: bounded, and what its digest says.

import { Code, KilnError } from "../../base/errors.js";
import { digestOf, isDigest } from "../digest.js";
import { readWhole } from "../http/body.js";
import type { ImageLimits } from "../limits.js";
import { MANIFEST_ACCEPT } from "../media-types.js";
import { ImageReason } from "../reasons.js";
import type { RegistrySession } from "./session.js";

export interface FetchedManifest {
  readonly bytes: Buffer;
  readonly digest: string;
  readonly contentType: string | undefined;
}

export interface ManifestRequest {
  /** A tag, or a digest; of a digest the answer is checked. */
  readonly reference: string;
  /** For messages: "docker.io/library/nginx:1.25". */
  readonly what: string;
  readonly limits: ImageLimits;
  readonly signal?: AbortSignal | undefined;
}

/** @throws KilnError `image-not-found`, `digest-mismatch`, `image-too-large`, and what RegistrySession.send throws */
export async function fetchManifest(
  session: RegistrySession,
  request: ManifestRequest,
): Promise<FetchedManifest> {
  const { reference, what, limits, signal } = request;
  const answer = await session.send({
    path: `manifests/${reference}`,
    headers: { accept: MANIFEST_ACCEPT },
    what: `pull ${what}`,
    signal,
  });
  if (answer.status === 404) throw notFound(await session.error(answer, `pull ${what}`), what, session.host);
  if (answer.status !== 200) throw await session.error(answer, `pull ${what}`);
  const { headers } = answer.body;
  const bytes = await readWhole(answer.body, {
    ...limits,
    what: `manifest of ${what}`,
    limit: limits.manifestBytes,
    signal,
  });
  const digest = digestOf(bytes);
  const announced = headers["docker-content-digest"];
  // By tag the header is all there is to tell a broken cache in between; another algorithm can't be compared.
  const expected = isDigest(reference) ? reference : announced;
  if (typeof expected === "string" && isDigest(expected) && expected !== digest) {
    throw new KilnError(
      Code.DataLoss,
      `manifest of ${what}: ${session.host} sent ${digest} instead of ${expected}`,
      {
        reason: ImageReason.DigestMismatch,
        hint: "the registry or something on the way to it changes content",
      },
    );
  }
  return { bytes, digest, contentType: headers["content-type"] };
}

function notFound(cause: KilnError, what: string, host: string): KilnError {
  return new KilnError(Code.NotFound, `no such image: ${what} (asked ${host})`, {
    reason: ImageReason.ImageNotFound,
    hint: "check the name and the tag; private images need a login",
    details: cause.details,
    cause,
  });
}
