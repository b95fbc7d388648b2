// What a plugin answers: a result, whose form differs a little between versions, or an error (spec, section 5). Pure. What a
// plugin wrote is shown to people and given to guests: it is bounded and parsed strictly.

import * as v from "valibot";
import { parseAddress } from "../../base/cidr.js";
import type { JsonObject } from "../../base/versioned.js";

const MOST = 64;
const Address = v.pipe(
  v.string(),
  v.check((text) => parseAddress(text) !== undefined, "it is no address"),
);
/** "10.1.0.5/24": an address with its network's prefix. */
const Interface = v.pipe(
  v.string(),
  v.check((text) => {
    const [address = "", prefix = ""] = text.split("/");
    const family = parseAddress(address)?.family;
    return family !== undefined && /^\d{1,3}$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128);
  }, "it is no address with a prefix"),
);
/** Of resolv.conf: with a space or a line break in it it would be two. */
const Word = v.pipe(v.string(), v.maxLength(255), v.regex(/^[!-~]*$/, "it is no word"));
const Words = v.optional(v.pipe(v.array(Word), v.maxLength(MOST)), []);
/** Of objects and lists within each other: what goes deeper can't be written for the next plugin. */
const DEEPEST = 32;

const ResultSchema = v.object({
  interfaces: v.optional(
    v.pipe(
      v.array(
        v.object({
          name: v.pipe(v.string(), v.maxLength(64)),
          mac: v.optional(v.pipe(v.string(), v.maxLength(64)), ""),
          sandbox: v.optional(v.pipe(v.string(), v.maxLength(4096)), ""),
        }),
      ),
      v.maxLength(MOST),
    ),
    [],
  ),
  ips: v.optional(
    v.pipe(
      v.array(
        v.object({
          address: Interface,
          gateway: v.optional(v.union([Address, v.literal("")]), ""),
          interface: v.optional(v.pipe(v.number(), v.safeInteger())),
        }),
      ),
      v.maxLength(MOST),
    ),
    [],
  ),
  dns: v.optional(
    v.object({
      nameservers: v.optional(v.pipe(v.array(Address), v.maxLength(MOST)), []),
      domain: v.optional(Word, ""),
      search: Words,
      options: Words,
    }),
    {},
  ),
});
export type CniResult = v.InferOutput<typeof ResultSchema>;

export interface CniFailure {
  /** Below 100 it is the spec's. */
  readonly code: number;
  readonly msg: string;
  readonly details: string;
}

const Line = v.pipe(
  v.string(),
  v.transform((text) => text.slice(0, 1024)),
);
const FailureSchema = v.object({
  code: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  msg: Line,
  details: v.optional(Line, ""),
});

/** The text of a result that the next plugin is given. @returns what is wrong with it */
export function parseResultText(text: string): JsonObject | string {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    return `it is no JSON: ${(error as Error).message}`;
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) return "it is no object";
  if (!isShallow(json, DEEPEST)) return `it is more than ${DEEPEST} lists deep`;
  const parsed = v.safeParse(ResultSchema, json);
  if (parsed.success) return json as JsonObject;
  const [issue] = parsed.issues;
  return `${v.getDotPath(issue) ?? "it"}: ${issue.message}`;
}

function isShallow(json: unknown, left: number): boolean {
  if (typeof json !== "object" || json === null) return true;
  return left > 0 && Object.values(json).every((each) => isShallow(each, left - 1));
}

/** Of one that `parseResultText` has let through, or that is on record. */
export function resultOf(raw: JsonObject): CniResult {
  const parsed = v.safeParse(ResultSchema, raw);
  return parsed.success ? parsed.output : v.parse(ResultSchema, {});
}

/** Undefined where it is none: what the plugin said elsewhere tells more. */
export function parseFailure(text: string): CniFailure | undefined {
  try {
    const parsed = v.safeParse(FailureSchema, JSON.parse(text));
    return parsed.success ? parsed.output : undefined;
  } catch {
    return undefined;
  }
}
