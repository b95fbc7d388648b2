// From an HTTP status and a registry's error document (distribution-spec, "Error Codes") to a KilnError.

import { Code, KilnError } from "../../base/errors.js";
import { ImageReason } from "../reasons.js";
import { readForError } from "./body.js";
import type { HttpAnswer } from "./client.js";
import { quoteServer } from "./failures.js";
import { parseRetryAfter } from "./retry.js";

const MAX_ERROR_BODY = 65_536;

export interface StatusOptions {
  /** What was asked for, for the message: "manifest of ghcr.io/a/b:c". */
  readonly what: string;
  readonly stallMs: number;
  readonly answerMs: number;
  /** Words that must not come back in a message, however a server may echo them. */
  readonly secrets?: readonly string[];
}

/** The error of an answer that is not the wanted one. Reads and closes its body. */
export async function statusError(answer: HttpAnswer, options: StatusOptions): Promise<KilnError> {
  const body = await readForError(answer.body, { ...options, limit: MAX_ERROR_BODY });
  const words = hideSecrets(quoteServer(serverWords(body)), options.secrets ?? []);
  const said = words === "" ? "" : `: ${words}`;
  const message = `${options.what}: ${answer.url.host} answered HTTP ${answer.status}${said}`;
  const details: Record<string, string> = { status: String(answer.status), registry: answer.url.host };
  const wait = parseRetryAfter(answer.body.headers["retry-after"], Date.now());
  if (wait !== undefined) details.retryAfterMs = String(wait);
  return new KilnError(...classify(answer.status, message, details));
}

type ErrorArguments = ConstructorParameters<typeof KilnError>;

function classify(status: number, message: string, details: Record<string, string>): ErrorArguments {
  if (status === 401 || status === 403) {
    const code = status === 401 ? Code.Unauthenticated : Code.PermissionDenied;
    return [code, message, { reason: ImageReason.Unauthorized, hint: LOGIN_HINT, details }];
  }
  if (status === 404) return [Code.NotFound, message, { reason: ImageReason.ImageNotFound, details }];
  if (status === 429) {
    const hint = "the registry limits how much may be pulled: wait, or log in";
    return [Code.ResourceExhausted, message, { reason: ImageReason.RateLimited, hint, details }];
  }
  const transient = status >= 500 || status === 408 || status === 425;
  const code = transient ? Code.Unavailable : Code.FailedPrecondition;
  const hint = transient ? "the registry is in trouble, not the image: try again later" : undefined;
  return [code, message, { reason: ImageReason.RegistryError, hint, details }];
}

export const LOGIN_HINT =
  "log in to the registry (credentials are read from auth.json and docker's config.json), and check the image's name: many registries answer so for images that do not exist";

/** "MANIFEST_UNKNOWN manifest unknown": the first error of the document, if it is one. */
function serverWords(body: Buffer): string {
  let document: unknown;
  try {
    document = JSON.parse(body.toString("utf8"));
  } catch {
    return ""; // a proxy's HTML page says nothing to a user
  }
  if (typeof document !== "object" || document === null) return "";
  const { errors, details } = document as { errors?: unknown; details?: unknown };
  const first: unknown = Array.isArray(errors) ? errors[0] : undefined;
  if (typeof first !== "object" || first === null) return typeof details === "string" ? details : "";
  const { code, message } = first as { code?: unknown; message?: unknown };
  return [code, message].filter((word) => typeof word === "string").join(" ");
}

function hideSecrets(text: string, secrets: readonly string[]): string {
  return secrets.reduce(
    (shown, secret) => (secret.length < 4 ? shown : shown.replaceAll(secret, "***")),
    text,
  );
}
