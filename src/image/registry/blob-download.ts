// One blob into one file, from the first host that gives it: resumed by Range after every cut, checked at its end.
// Only bytes that match the digest ever leave here.

import type { IncomingHttpHeaders } from "node:http";
import { Code, KilnError } from "../../base/errors.js";
import type { OnProgress } from "../../base/progress.js";
import { delay } from "../../base/runtime.js";
import { readChunks } from "../http/body.js";
import { parseContentRange } from "../http/content-range.js";
import { isTransient, isUnreachable } from "../http/failures.js";
import { planRetry } from "../http/retry.js";
import type { ImageLimits } from "../limits.js";
import { ImageReason } from "../reasons.js";
import type { RegistrySession } from "./session.js";

/** Where the bytes go; store/ingest.ts is one. */
export interface BlobSink {
  readonly offset: number;
  append(chunk: Uint8Array): Promise<void>;
  flush(): Promise<void>;
  restart(): Promise<void>;
  digest(): string;
}

export interface BlobDownload {
  readonly digest: string;
  readonly size: number;
  readonly sink: BlobSink;
  readonly limits: ImageLimits;
  readonly onProgress: OnProgress;
  readonly signal?: AbortSignal | undefined;
}

/** A try that brought this much is progress: the count of failures starts again. */
const PROGRESS_BYTES = 64 * 1024;
const REPORT_BYTES = 256 * 1024;

/**
 * Fills the sink from one host.
 *
 * @param lastHost there is no other: a host that can't be reached is then tried again, else given up at once
 * @throws KilnError data_loss `digest-mismatch`, `size-mismatch`; `registry-*`, `unauthorized`, ... The sink keeps
 *   what may be resumed
 */
export async function downloadBlob(
  session: RegistrySession,
  download: BlobDownload,
  lastHost: boolean,
): Promise<void> {
  const { sink, digest } = download;
  for (;;) {
    // What an earlier run left may be damaged (power cut): it deserves one more try from the beginning.
    const inherited = sink.offset > 0;
    await fill(session, download, lastHost);
    if (sink.digest() === digest) return;
    const actual = sink.digest();
    await sink.restart();
    if (inherited) continue;
    throw new KilnError(Code.DataLoss, `blob ${digest}: ${session.host} sent ${actual} instead`, {
      reason: ImageReason.DigestMismatch,
      hint: "the registry's copy is damaged, or something on the way to it changes content",
    });
  }
}

async function fill(session: RegistrySession, download: BlobDownload, lastHost: boolean): Promise<void> {
  const { sink, limits, signal, onProgress, digest } = download;
  let failures = 0;
  let best = sink.offset;
  while (sink.offset < download.size) {
    try {
      await fetchRest(session, download);
    } catch (error) {
      await sink.flush();
      if (sink.offset >= best + PROGRESS_BYTES) {
        best = sink.offset;
        failures = 0;
      }
      failures++;
      if (isUnreachable(error) && !lastHost) throw error;
      const plan = planRetry(error, failures, limits, Math.random());
      if ("giveUp" in plan) throw plan.giveUp;
      onProgress({
        id: digest,
        status: "retrying",
        message: KilnError.from(error).message,
        ...position(download),
      });
      await delay(plan.waitMs, signal);
    }
  }
}

/** One request for what is missing; returns when the answer has ended. */
async function fetchRest(session: RegistrySession, download: BlobDownload): Promise<void> {
  const { sink, size, digest, signal, limits } = download;
  const what = `blob ${digest}`;
  const offset = sink.offset;
  const answer = await session.send({
    path: `blobs/${digest}`,
    headers: offset === 0 ? {} : { range: `bytes=${offset}-` },
    what,
    signal,
  });
  const plan = planBlobAnswer(answer.status, answer.body.headers, { offset, size, what, host: session.host });
  if (plan.action === "refuse") {
    answer.body.destroy();
    throw plan.error;
  }
  if (plan.action === "status") throw lostBlob(await session.error(answer, what));
  if (plan.action === "restart") {
    answer.body.destroy();
    await sink.restart();
    throw plan.error;
  }
  if (plan.action === "whole" && offset > 0) await sink.restart();
  let reported = sink.offset;
  download.onProgress({ id: digest, status: "downloading", ...position(download) });
  for await (const chunk of readChunks(answer.body, { what, stallMs: limits.stallMs, signal })) {
    if (sink.offset + chunk.length > size) throw sizeMismatch(what, session.host, `more than ${size}`, size);
    await sink.append(chunk);
    if (sink.offset - reported < REPORT_BYTES) continue;
    reported = sink.offset;
    download.onProgress({ id: digest, status: "downloading", ...position(download) });
  }
  if (sink.offset < size) throw sizeMismatch(what, session.host, `only ${sink.offset}`, size);
}

/** What to do with an answer to a request for a blob from `offset` on. */
export type BlobAnswerPlan =
  /** The missing part. */
  | { readonly action: "append" }
  /** All of it, from the first byte. */
  | { readonly action: "whole" }
  /** This host can't go on from there: drop what is there and ask again. */
  | { readonly action: "restart"; readonly error: KilnError }
  | { readonly action: "refuse"; readonly error: KilnError }
  /** An HTTP failure. */
  | { readonly action: "status" };

/** RFC 9110, 14 and 15.3.7: 206 counts only with the right Content-Range, 200 is the whole, 416 is a wrong offset. */
export function planBlobAnswer(
  status: number,
  headers: IncomingHttpHeaders,
  wanted: { offset: number; size: number; what: string; host: string },
): BlobAnswerPlan {
  const { offset, size, what, host } = wanted;
  if (status === 416 && offset > 0) return { action: "restart", error: cannotResume(what, host, "HTTP 416") };
  if (status !== 200 && status !== 206) return { action: "status" };
  const encoding = headers["content-encoding"];
  if (encoding !== undefined && encoding !== "identity" && encoding !== "") {
    return { action: "refuse", error: encoded(what, host) };
  }
  if (status === 200) {
    const length = headers["content-length"];
    const fits = length === undefined || Number(length) === size;
    return fits ? { action: "whole" } : { action: "refuse", error: sizeMismatch(what, host, length, size) };
  }
  const range = parseContentRange(headers["content-range"]);
  if (range?.total !== undefined && range.total !== size) {
    return { action: "refuse", error: sizeMismatch(what, host, String(range.total), size) };
  }
  if (range?.start === offset) return { action: "append" };
  return { action: "restart", error: cannotResume(what, host, "a range that was not asked for") };
}

function position(download: BlobDownload): { current: number; total: number } {
  return { current: download.sink.offset, total: download.size };
}

function cannotResume(what: string, host: string, why: string): KilnError {
  return new KilnError(Code.Unavailable, `${what}: ${host} could not resume it (${why})`, {
    reason: ImageReason.RegistryError,
  });
}

/** The manifest names the blob, so its absence is the registry's fault and not a wrong name. */
function lostBlob(error: KilnError): KilnError {
  if (error.code !== Code.NotFound) return error;
  return new KilnError(Code.NotFound, error.message, {
    reason: ImageReason.BlobNotFound,
    hint: "the image is incomplete in the registry: push it again",
    details: error.details,
    cause: error,
  });
}

function encoded(what: string, host: string): KilnError {
  return new KilnError(
    Code.FailedPrecondition,
    `${what}: ${host} sent it with a content encoding not asked for`,
    {
      reason: ImageReason.RegistryError,
    },
  );
}

function sizeMismatch(what: string, host: string, has: string | undefined, wanted: number): KilnError {
  return new KilnError(
    Code.DataLoss,
    `${what}: ${host} has ${has} bytes of it, the manifest says ${wanted}`,
    {
      reason: ImageReason.SizeMismatch,
      hint: "the registry's copy is truncated or replaced: push the image again",
    },
  );
}

/** True where what has been fetched is worth keeping: the next try may go on from there. */
export function isResumable(error: unknown): boolean {
  if (!(error instanceof KilnError)) return false;
  return isTransient(error) || error.code === Code.Cancelled || error.code === Code.DeadlineExceeded;
}
