// A CNI network as an administrator writes it: a list of plugins (https://www.cni.dev/docs/spec/, section 1), of the versions
// 0.3.1 to 1.1.0. Pure. What is not understood of a plugin's own configuration goes to the plugin as it is.

import * as v from "valibot";
import { Code, KilnError } from "../../base/errors.js";
import type { JsonObject } from "../../base/versioned.js";

/** In the order in which they came. */
const CNI_VERSIONS = ["0.3.1", "0.4.0", "1.0.0", "1.1.0"] as const;
export type CniVersion = (typeof CNI_VERSIONS)[number];

/** Of one file. */
export const MAX_CONFLIST = 1024 * 1024;
const MOST_PLUGINS = 32;
/** The spec's: what files and rules are named after. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;
/** A file's name, and no way to another directory. */
const TYPE = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;

export interface CniPlugin {
  readonly type: string;
  /** That it says it takes: "portMappings". */
  readonly capabilities: readonly string[];
  /** As it was written. */
  readonly config: JsonObject;
}

export interface CniNetwork {
  readonly name: string;
  readonly cniVersion: CniVersion;
  readonly disableCheck: boolean;
  readonly disableGC: boolean;
  /** In the order of ADD; at least one. */
  readonly plugins: readonly CniPlugin[];
}

const Flag = v.optional(v.boolean(), false);
const PluginSchema = v.looseObject({
  type: v.pipe(v.string(), v.regex(TYPE, "it is no plugin's name")),
  capabilities: v.optional(v.record(v.string(), v.boolean())),
});
const ListSchema = v.looseObject({
  name: v.pipe(v.string(), v.regex(NAME, "it is no network's name")),
  cniVersion: v.optional(v.string()),
  cniVersions: v.optional(v.pipe(v.array(v.string()), v.maxLength(16)), []),
  disableCheck: Flag,
  disableGC: Flag,
  plugins: v.pipe(
    v.array(PluginSchema),
    v.minLength(1, "it names no plugin"),
    v.maxLength(MOST_PLUGINS, `it names more than ${MOST_PLUGINS} plugins`),
  ),
});

/**
 * @param text of a .conflist, or of a .conf with one plugin
 * @throws KilnError failed_precondition `bad-cni-config`, whose message says what, and not where
 */
export function parseConflist(text: string): CniNetwork {
  const parsed = v.safeParse(ListSchema, asList(parseJson(text)));
  if (!parsed.success) {
    const [issue] = parsed.issues;
    throw bad(`${v.getDotPath(issue) ?? "the file"}: ${issue.message}`);
  }
  const { name, cniVersion, cniVersions, disableCheck, disableGC, plugins } = parsed.output;
  return {
    ...{ name, disableCheck, disableGC },
    cniVersion: versionOf([...(cniVersion === undefined ? [] : [cniVersion]), ...cniVersions]),
    plugins: plugins.map((config) => ({
      type: config.type,
      capabilities: Object.entries(config.capabilities ?? {}).flatMap(([key, isOn]) => (isOn ? [key] : [])),
      config,
    })),
  };
}

export function isAtLeast(version: CniVersion, least: CniVersion): boolean {
  return CNI_VERSIONS.indexOf(version) >= CNI_VERSIONS.indexOf(least);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw bad(`it is no JSON: ${(error as Error).message}`);
  }
}

/** A file of one plugin is a list of it alone. */
function asList(json: unknown): unknown {
  if (typeof json !== "object" || json === null || Array.isArray(json)) return json;
  if ("plugins" in json || !("type" in json)) return json;
  const { name, cniVersion } = json as JsonObject;
  return { name, ...(cniVersion === undefined ? {} : { cniVersion }), plugins: [json] };
}

/** The newest of those that it says it is written for. */
function versionOf(given: readonly string[]): CniVersion {
  const known = CNI_VERSIONS.filter((version) => given.includes(version)).at(-1);
  if (known !== undefined) return known;
  // 0.3.0 has the form of 0.3.1, whose only difference is that the spec says so.
  if (given.includes("0.3.0")) return "0.3.1";
  const of = given.length === 0 ? "it names no cniVersion" : `it is of CNI ${given.join(", ")}`;
  throw bad(`${of}: kiln knows ${CNI_VERSIONS.join(", ")}`);
}

function bad(why: string): KilnError {
  return new KilnError(Code.FailedPrecondition, why, {
    reason: "bad-cni-config",
    hint: "see https://www.cni.dev/docs/spec/#section-1-network-configuration-format",
  });
}
