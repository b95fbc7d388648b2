// Finding an image by what a user writes: a name, a digest name, an id, a unique piece of an id. Never asks a registry.

import { Code, KilnError } from "../base/errors.js";
import { shortId } from "../base/ids.js";
import { ImageReason } from "./reasons.js";
import {
  DEFAULT_REGISTRY,
  formatReference,
  parseReference,
  type Reference,
  repositoryName,
} from "./reference.js";
import type { StoredImage } from "./types.js";

export type Lookup =
  | { readonly by: "id"; readonly image: StoredImage }
  /** `name` is the entry of `names` or `digests` that was meant. */
  | { readonly by: "name"; readonly image: StoredImage; readonly name: string };

const BARE_ID = /^[a-f0-9]{1,64}$/;
const MARKED_ID = /^sha256:([a-f0-9]{1,64})$/;

/**
 * Docker's order: a name before an id.
 *
 * @throws KilnError invalid_argument `ambiguous-id`
 */
export function lookUp(key: string, images: readonly StoredImage[]): Lookup | undefined {
  const marked = MARKED_ID.exec(key)?.[1];
  if (marked !== undefined) return byId(key, marked, images);
  const reference = tryParse(key);
  const named = reference === undefined ? undefined : byReference(reference, images);
  if (named !== undefined) return named;
  const local = reference === undefined ? undefined : localReference(key, reference);
  const made = local === undefined ? undefined : byReference(local, images);
  if (made !== undefined) return made;
  return BARE_ID.test(key) ? byId(key, key, images) : undefined;
}

/** What a layout brought is called localhost/NAME: found by NAME too while no registry's image is called so here. */
function localReference(key: string, reference: Reference): Reference | undefined {
  if (reference.registry !== DEFAULT_REGISTRY || key.startsWith(`${DEFAULT_REGISTRY}/`)) return undefined;
  return tryParse(`localhost/${key}`);
}

function byReference(reference: Reference, images: readonly StoredImage[]): Lookup | undefined {
  const { digest } = reference;
  if (digest === undefined) {
    const name = formatReference(reference);
    const image = images.find(({ names }) => names.includes(name));
    return image === undefined ? undefined : { by: "name", image, name };
  }
  const repository = repositoryName(reference);
  const name = `${repository}@${digest}`;
  const exact = images.find(({ digests }) => digests.includes(name));
  if (exact !== undefined) return { by: "name", image: exact, name };
  // Pulled through an index, asked for by the manifest of its platform.
  const inner = images.find(
    (image) =>
      image.manifestDigest === digest && image.digests.some((known) => known.startsWith(`${repository}@`)),
  );
  const known = inner?.digests.find((candidate) => candidate.startsWith(`${repository}@`));
  return inner === undefined || known === undefined ? undefined : { by: "name", image: inner, name: known };
}

function byId(key: string, hex: string, images: readonly StoredImage[]): Lookup | undefined {
  const found = images.filter(({ id }) => id.startsWith(`sha256:${hex}`));
  const [image] = found;
  if (image === undefined) return undefined;
  if (found.length === 1) return { by: "id", image };
  const some = found.slice(0, 5).map(({ id, names }) => `${shortId(id)} (${names[0] ?? "<none>"})`);
  throw new KilnError(Code.InvalidArgument, `image id ${key} is ambiguous: ${some.join(", ")}`, {
    reason: ImageReason.AmbiguousId,
    hint: "give more characters of the id",
  });
}

function tryParse(key: string): Reference | undefined {
  try {
    return parseReference(key);
  } catch {
    return undefined; // no name: perhaps an id
  }
}

/** What removing a name or an id does, as `docker rmi` does it. */
export interface RemovalPlan {
  readonly untagged: readonly string[];
  readonly deletes: boolean;
}

/**
 * By id: all names and the image. By name: that name; digest names of a repository go with the repository's last tag;
 * the image goes with its last name.
 */
export function planRemoval({ by, image, ...rest }: Lookup): RemovalPlan {
  const all = [...image.names, ...image.digests];
  if (by === "id" || !("name" in rest)) return { untagged: all, deletes: true };
  const removed = new Set([rest.name]);
  const namesLeft = image.names.filter((name) => !removed.has(name));
  const repositories = new Set(namesLeft.map(repositoryOf));
  // A digest name alone keeps an image only where it was all that the image had.
  const byTag = image.names.includes(rest.name);
  for (const digest of image.digests) {
    if (byTag && !repositories.has(repositoryOf(digest))) removed.add(digest);
  }
  const left = all.filter((name) => !removed.has(name));
  return { untagged: [...removed], deletes: left.length === 0 };
}

function repositoryOf(name: string): string {
  return repositoryName(parseReference(name));
}
