// The image config (image-spec, config.md; Docker's image spec v1.2): what to run, for which platform, on which layers.
// Parses and bounds; the raw document stays in the store for `inspect`.

import * as v from "valibot";
import { defined } from "../base/defined.js";
import { Code, KilnError } from "../base/errors.js";
import { isDigest } from "./digest.js";
import { quoteServer } from "./http/failures.js";
import { parseJsonObject } from "./json.js";
import { ImageReason } from "./reasons.js";
import type { ImageRunConfig, Platform } from "./types.js";

export interface ImageConfig {
  /** Undefined where the config does not say, as some old tools write it. */
  readonly platform: Platform | undefined;
  readonly run: ImageRunConfig;
  /** Digests of the uncompressed layers, bottom first. */
  readonly diffIds: readonly string[];
  /** RFC 3339; the epoch where the image does not say. */
  readonly createdAt: string;
}

const UNKNOWN_TIME = "1970-01-01T00:00:00Z";
const TIME = /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,24}(Z|[+-][0-9]{2}:[0-9]{2})$/;
const PORT = /^([0-9]{1,5})(?:-([0-9]{1,5}))?(?:\/(tcp|udp|sctp))?$/i;

// One argument or variable: Linux's MAX_ARG_STRLEN. NUL would end it early in execve(2).
const Text = v.pipe(
  v.string(),
  v.maxLength(131_071),
  v.check((text) => !text.includes("\0"), "holds a NUL character"),
);
const Word = v.pipe(Text, v.maxLength(4096));
/** Go reads null as the empty string. */
const Texts = v.pipe(v.array(v.nullable(Text)), v.maxLength(4096));
const List = v.nullish(Texts);
/** Docker takes a plain string too, as images of its first years have it. */
const OneText = v.pipe(
  Text,
  v.transform((text) => [text]),
);
const Command = v.nullish(v.union([Texts, OneText]));
/** Go's map[string]struct{}: only the keys count. */
const KeySet = v.nullish(v.record(Word, v.unknown()));

const RunSchema = v.looseObject({
  Env: List,
  Entrypoint: Command,
  Cmd: Command,
  WorkingDir: v.nullish(Word),
  User: v.nullish(Word),
  Labels: v.nullish(v.record(v.string(), v.nullable(v.string()))),
  ExposedPorts: KeySet,
  Volumes: KeySet,
  StopSignal: v.nullish(v.pipe(v.string(), v.regex(/^[A-Za-z0-9+-]{0,20}$/, "is no signal"))),
});

const ConfigSchema = v.looseObject({
  architecture: v.nullish(Word),
  os: v.nullish(Word),
  variant: v.nullish(Word),
  created: v.nullish(Word),
  config: v.nullish(RunSchema),
  rootfs: v.looseObject({
    type: v.literal("layers"),
    diff_ids: v.pipe(
      v.array(v.pipe(v.string(), v.check(isDigest, "is no sha256 digest"))),
      v.maxLength(4096),
    ),
  }),
});

/**
 * @param bytes already checked against their digest
 * @param what for messages: "docker.io/library/nginx:1.25"
 * @throws KilnError `invalid-image-config`, `not-an-image` where there is no root file system
 */
export function parseImageConfig(bytes: Uint8Array, what: string): ImageConfig {
  const json = parseJsonObject(bytes);
  if (json === undefined) throw invalid(what, "it is not a JSON object");
  if (!("rootfs" in json)) {
    throw new KilnError(
      Code.FailedPrecondition,
      `${what} is not an image that can run: its config names no root file system`,
      {
        reason: ImageReason.NotAnImage,
        hint: "charts, signatures, SBOMs and other artifacts have no root file system",
      },
    );
  }
  const parsed = v.safeParse(ConfigSchema, json);
  if (!parsed.success) {
    const [issue] = parsed.issues;
    throw invalid(what, quoteServer(`${v.getDotPath(issue) ?? "document"}: ${issue.message}`));
  }
  const { architecture, os, variant, created, config, rootfs } = parsed.output;
  return {
    platform: architecture
      ? defined({ os: os || "linux", architecture, variant: variant || undefined })
      : undefined,
    run: readRun(config ?? {}),
    diffIds: rootfs.diff_ids,
    createdAt: created && isTime(created) ? created : UNKNOWN_TIME,
  };
}

/** Also that it is a moment: the 45th of a month is written like one. */
function isTime(text: string): boolean {
  return TIME.test(text) && !Number.isNaN(Date.parse(text));
}

/** "80" is "80/tcp"; ranges stay ranges. Undefined where it is no port. */
export function normalisePort(text: string): string | undefined {
  const match = PORT.exec(text);
  if (match === null) return undefined;
  const first = Number(match[1]);
  const last = match[2] === undefined ? first : Number(match[2]);
  if (first < 1 || last > 65_535 || last < first) return undefined;
  const range = first === last ? `${first}` : `${first}-${last}`;
  return `${range}/${(match[3] ?? "tcp").toLowerCase()}`;
}

function readRun(raw: v.InferOutput<typeof RunSchema>): ImageRunConfig {
  return {
    env: textsOf(raw.Env).filter((entry) => entry !== ""),
    entrypoint: textsOf(raw.Entrypoint),
    cmd: textsOf(raw.Cmd),
    workdir: raw.WorkingDir ?? "",
    user: raw.User ?? "",
    labels: Object.fromEntries(Object.entries(raw.Labels ?? {}).map(([name, text]) => [name, text ?? ""])),
    // What is no port ("$PORT/tcp", of a variable that nobody replaced) can't be published: no reason to refuse the image.
    exposedPorts: Object.keys(raw.ExposedPorts ?? {}).flatMap((text) => normalisePort(text) ?? []),
    volumes: Object.keys(raw.Volumes ?? {}),
    stopSignal: raw.StopSignal ?? "",
  };
}

function textsOf(texts: readonly (string | null)[] | null | undefined): string[] {
  return (texts ?? []).map((text) => text ?? "");
}

function invalid(what: string, why: string): KilnError {
  return new KilnError(Code.InvalidArgument, `image config of ${what}: ${why}`, {
    reason: ImageReason.InvalidImageConfig,
  });
}
