// Ids and names: 64 hex characters, 12 shown; generated two-word names; unique prefixes.

import { randomBytes, randomInt } from "node:crypto";
import { Code, KilnError } from "./errors.js";
import { nearest } from "./suggest.js";

/** A new id: 64 lower-case hex characters. */
export function newId(): string {
  return randomBytes(32).toString("hex");
}

/** The first 12 characters, as `ps` shows them. */
export function shortId(id: string): string {
  return id.replace(/^sha256:/, "").slice(0, 12);
}

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/;

/** Docker's rule for names, at most 63 characters so that it can be a host name's label. */
export function isValidName(name: string): boolean {
  return NAME.test(name);
}

const LEFT =
  "amber ashen baked blazing bold brisk bright burnt calm candid clever cobalt copper crisp deft eager earthen ember fabled firm gilded glazed glowing golden hardy hearty humble keen kind lively lucid mellow merry noble nimble patient placid plucky proud quick quiet ready robust rustic sandy silver sleek smooth snug sober solid stout sturdy subtle sunny sure swift tidy vivid warm wise woven zesty".split(
    " ",
  );
const RIGHT =
  "amphora anvil basin beaker bisque bowl brick bronze cauldron celadon ceramic chalice clay cobble crock crucible cup damper ember faience flame flask flint flue forge furnace glaze goblet grog hearth ingot jar jug kettle ladle lathe mason mortar mosaic mug oven paver pestle pewter pitcher porcelain potter raku sherd shard slab slip spark stein stove tagine tile torch trivet trowel urn vase vessel wheel".split(
    " ",
  );

/** A generated name that `taken` refuses to know: "glazed_urn", then with a number. */
export function generateName(taken: (name: string) => boolean): string {
  for (let attempt = 0; attempt < 20; attempt++) {
    const name = `${LEFT[randomInt(LEFT.length)]}_${RIGHT[randomInt(RIGHT.length)]}`;
    if (!taken(name)) return name;
  }
  for (;;) {
    const name = `${LEFT[randomInt(LEFT.length)]}_${RIGHT[randomInt(RIGHT.length)]}_${randomInt(1_000_000)}`;
    if (!taken(name)) return name;
  }
}

export interface Named {
  readonly id: string;
  readonly name: string;
}

/** Where a user looks for the right name. */
const LISTED_BY: Readonly<Record<string, string>> = {
  VM: "`kiln ps -a` lists all VMs",
  volume: "`kiln volume ls` lists all volumes",
  network: "`kiln network ls` lists all networks",
  kernel: "`kiln kernel ls` lists what is there, `kiln kernel import` brings more",
};

/**
 * @param kind see `resolveNamed`
 * @param near a name that may have been meant
 */
export function notFound(kind: string, key: string, near?: string): KilnError {
  const listed = LISTED_BY[kind];
  return new KilnError(Code.NotFound, `no such ${kind}: ${key}`, {
    reason: `${kind.toLowerCase()}-not-found`,
    hint:
      near === undefined
        ? listed
        : [`did you mean ${near}?`, ...(listed === undefined ? [] : [listed])].join(" "),
  });
}

/**
 * Finds by full id, name, or unique id prefix, in that order.
 *
 * @param kind for the message: "VM", "image", "kernel"
 * @throws KilnError not_found (`<kind>-not-found`) or invalid_argument (`ambiguous-id`)
 */
export function resolveNamed<T extends Named>(kind: string, key: string, all: Iterable<T>): T {
  const matches: T[] = [];
  const names: string[] = [];
  let byName: T | undefined;
  for (const item of all) {
    names.push(item.name);
    if (item.id === key) return item;
    if (item.name === key) byName = item;
    else if (key.length > 0 && item.id.startsWith(key)) matches.push(item);
  }
  if (byName !== undefined) return byName;
  const [first] = matches;
  if (first === undefined) throw notFound(kind, key, nearest(key, names));
  if (matches.length > 1) {
    const some = matches.slice(0, 5).map((item) => `${shortId(item.id)} (${item.name})`);
    throw new KilnError(Code.InvalidArgument, `${kind} id ${key} is ambiguous: ${some.join(", ")}`, {
      reason: "ambiguous-id",
      hint: "give more characters of the id",
    });
  }
  return first;
}
