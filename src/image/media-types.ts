// Media types of manifests, configs and layers: OCI's and Docker's schema 2. What is not here is refused by name.

export const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const OCI_CONFIG = "application/vnd.oci.image.config.v1+json";
export const OCI_LAYER = "application/vnd.oci.image.layer.v1.tar";
const DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json";
const DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar";

/** What is asked for, best first. */
export const MANIFEST_ACCEPT = [OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST].join(", ");

const INDEXES = new Set([OCI_INDEX, DOCKER_LIST]);
const MANIFESTS = new Set([OCI_MANIFEST, DOCKER_MANIFEST]);
const CONFIGS = new Set([OCI_CONFIG, DOCKER_CONFIG]);
const LAYERS = new Set([
  OCI_LAYER,
  `${OCI_LAYER}+gzip`,
  `${OCI_LAYER}+zstd`,
  DOCKER_LAYER,
  `${DOCKER_LAYER}.gzip`,
  `${DOCKER_LAYER}.zstd`,
]);
const SCHEMA1 = /^application\/vnd\.docker\.distribution\.manifest\.v1\+(json|prettyjws)$/;
// Windows base layers and the like: licensed to be fetched from their maker only
const FOREIGN =
  /^application\/vnd\.(oci\.image\.layer\.nondistributable\.v1\.tar|docker\.image\.rootfs\.foreign\.diff\.tar)([.+](gzip|zstd))?$/;

/** What a manifest's media type says it is; "other" covers everything that kiln can't read. */
export type ManifestKind = "index" | "manifest" | "schema1" | "other";

export function manifestKind(mediaType: string): ManifestKind {
  if (INDEXES.has(mediaType)) return "index";
  if (MANIFESTS.has(mediaType)) return "manifest";
  return SCHEMA1.test(mediaType) ? "schema1" : "other";
}

export function isConfigType(mediaType: string): boolean {
  return CONFIGS.has(mediaType);
}

export function isLayerType(mediaType: string): boolean {
  return LAYERS.has(mediaType);
}

export function isForeignLayerType(mediaType: string): boolean {
  return FOREIGN.test(mediaType);
}
