// Image references by Docker's rules: `alpine` is docker.io/library/alpine:latest. Knows names only, never a network.

import { defined } from "../base/defined.js";
import { Code, KilnError } from "../base/errors.js";
import { isDigest } from "./digest.js";
import { ImageReason } from "./reasons.js";

/** A reference in full. At least one of tag and digest is there; with both, the digest decides and the tag is a label. */
export interface Reference {
  /** Lower-case host, with its port where one was given: "docker.io", "127.0.0.1:5000". */
  readonly registry: string;
  /** "library/alpine" */
  readonly repository: string;
  readonly tag?: string;
  /** "sha256:..." */
  readonly digest?: string;
}

export const DEFAULT_REGISTRY = "docker.io";
const DEFAULT_TAG = "latest";
const OFFICIAL = "library/";

// Bounds first: what follows runs regular expressions over the text.
const MAX_TEXT = 1024;
const MAX_NAME = 255;

const HOST_LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const IPV6 = /^\[[a-f0-9:]{2,45}\]$/;
const PATH_COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const BARE_ID = /^[a-f0-9]{64}$/;

/**
 * Parses what a user writes: `alpine`, `alpine:3.20`, `ghcr.io/a/b@sha256:...`, `localhost:5000/x:y@sha256:...`,
 * `docker://alpine`.
 *
 * @throws KilnError invalid_argument `invalid-reference`
 */
export function parseReference(text: string): Reference {
  if (text.length > MAX_TEXT) throw invalid(text, "it is too long");
  const bare = text.startsWith("docker://") ? text.slice("docker://".length) : text;
  if (bare === "") throw invalid(text, "it is empty");
  const { name, tag, digest } = splitSuffixes(text, bare);
  if (BARE_ID.test(name)) throw invalid(text, "64 hex digits are an image id, not a name");
  const { registry, repository } = splitRegistry(name);
  checkRegistry(text, registry);
  checkRepository(text, repository);
  if (registry.length + 1 + repository.length > MAX_NAME)
    throw invalid(text, `its name is longer than ${MAX_NAME} characters`);
  const implied = digest === undefined ? DEFAULT_TAG : undefined;
  return defined({ registry, repository, tag: tag ?? implied, digest });
}

/** The full name: "docker.io/library/alpine:latest", with the digest where there is one. */
export function formatReference(reference: Reference): string {
  return `${repositoryName(reference)}${suffixOf(reference)}`;
}

/** The full name of what a user writes. @throws KilnError invalid_argument `invalid-reference` */
export function fullName(text: string): string {
  return formatReference(parseReference(text));
}

/** Registry and repository without tag and digest: "docker.io/library/alpine". */
export function repositoryName(reference: Reference): string {
  return `${reference.registry}/${reference.repository}`;
}

/** The shortest form that a user may write for it: "alpine:latest". Text that is no reference comes back as it is. */
export function familiarName(fullName: string): string {
  let reference: Reference;
  try {
    reference = parseReference(fullName);
  } catch {
    return fullName; // nothing shorter is known: the caller shows what it has
  }
  if (reference.registry !== DEFAULT_REGISTRY) return formatReference(reference);
  const full = formatReference(reference);
  const candidates = reference.repository.startsWith(OFFICIAL)
    ? [reference.repository.slice(OFFICIAL.length), reference.repository]
    : [reference.repository];
  for (const path of candidates) {
    const short = `${path}${suffixOf(reference)}`;
    // "docker.io/corp.example/x" must not become "corp.example/x", which is another registry
    if (tryParse(short) === full) return short;
  }
  return full;
}

/** The host that answers for a registry name: Docker Hub's API does not live at docker.io. */
export function registryHost(registry: string): string {
  return registry === DEFAULT_REGISTRY ? "registry-1.docker.io" : registry;
}

function suffixOf(reference: Reference): string {
  const tag = reference.tag === undefined ? "" : `:${reference.tag}`;
  return reference.digest === undefined ? tag : `${tag}@${reference.digest}`;
}

function tryParse(text: string): string | undefined {
  try {
    return formatReference(parseReference(text));
  } catch {
    return undefined; // not a reference: so not this one
  }
}

function splitSuffixes(text: string, bare: string) {
  const at = bare.indexOf("@");
  const digest = at < 0 ? undefined : bare.slice(at + 1);
  if (digest !== undefined && !isDigest(digest)) {
    throw invalid(text, "what follows @ must be sha256: and 64 lower-case hex digits");
  }
  const rest = at < 0 ? bare : bare.slice(0, at);
  const colon = rest.lastIndexOf(":");
  // a colon before the last slash is a port
  const hasTag = colon > rest.lastIndexOf("/");
  const tag = hasTag ? rest.slice(colon + 1) : undefined;
  if (tag !== undefined && !TAG.test(tag)) {
    throw invalid(text, "a tag is at most 128 letters, digits, _, . and -, not beginning with . or -");
  }
  return { name: hasTag ? rest.slice(0, colon) : rest, tag, digest };
}

/** Docker's rule: the first component is a host if it looks like one, else the image is on Docker Hub. */
function splitRegistry(name: string): { registry: string; repository: string } {
  const slash = name.indexOf("/");
  const first = slash < 0 ? "" : name.slice(0, slash);
  const isHost = /[.:]/.test(first) || first === "localhost" || first !== first.toLowerCase();
  const host = isHost ? first.toLowerCase() : DEFAULT_REGISTRY;
  const repository = isHost ? name.slice(slash + 1) : name;
  if (host !== DEFAULT_REGISTRY && host !== "index.docker.io") return { registry: host, repository };
  return {
    registry: DEFAULT_REGISTRY,
    repository: repository.includes("/") ? repository : OFFICIAL + repository,
  };
}

function checkRegistry(text: string, registry: string): void {
  const match = /^(.*?)(?::([0-9]{1,5}))?$/.exec(registry);
  const host = match?.[1] ?? "";
  const port = match?.[2] === undefined ? 443 : Number(match[2]);
  const fine = IPV6.test(host) || host.split(".").every((label) => HOST_LABEL.test(label));
  if (!fine || port < 1 || port > 65_535)
    throw invalid(text, `"${registry}" is not a host name with an optional port`);
}

function checkRepository(text: string, repository: string): void {
  if (repository.split("/").every((part) => PATH_COMPONENT.test(part))) return;
  const why = /[A-Z]/.test(repository)
    ? "a repository name must be lower-case"
    : "a repository name has parts of lower-case letters and digits, separated by single . _ - or / ";
  throw invalid(text, why.trim());
}

function invalid(text: string, why: string): KilnError {
  const shown = text.length > 128 ? `${text.slice(0, 128)}...` : text;
  return new KilnError(Code.InvalidArgument, `${JSON.stringify(shown)} is not an image reference: ${why}`, {
    reason: ImageReason.InvalidReference,
    hint: "write for example alpine, alpine:3.20, ghcr.io/owner/name:tag or name@sha256:...",
  });
}
