// The stable words for what can go wrong with images. They are API: clients switch on them, so they are never renamed.

/** `KilnError.reason` of every failure that begins in this room. */
export const ImageReason = {
  InvalidReference: "invalid-reference",
  InvalidSource: "invalid-image-source",
  InvalidPlatform: "invalid-platform",
  /** The registry, or the store, has no such name, tag or digest. */
  ImageNotFound: "image-not-found",
  /** 401 or 403: no credentials, wrong ones, or no right to this repository. */
  Unauthorized: "unauthorized",
  RegistryError: "registry-error",
  RegistryTimeout: "registry-timeout",
  RegistryUnreachable: "registry-unreachable",
  RateLimited: "rate-limited",
  TlsError: "tls-error",
  /** Plain HTTP to a host that is not this machine and was not allowed to. */
  PlainHttpRefused: "plain-http-refused",
  RedirectRefused: "redirect-refused",
  /** The answer is not what its digest says. */
  DigestMismatch: "digest-mismatch",
  /** Fewer or more bytes than the manifest says. */
  SizeMismatch: "size-mismatch",
  UnsupportedDigest: "unsupported-digest",
  UnknownMediaType: "unknown-media-type",
  /** A layer that the registry may not hand out and that lives at some other address. */
  ForeignLayer: "foreign-layer",
  /** A Helm chart, a signature, an SBOM...: nothing with a root file system. */
  NotAnImage: "not-an-image",
  InvalidManifest: "invalid-manifest",
  InvalidImageConfig: "invalid-image-config",
  NoSuchPlatform: "no-such-platform",
  /** A bound of ImageLimits. */
  ImageTooLarge: "image-too-large",
  InvalidArchive: "invalid-archive",
  /** The archive or layout holds several images and none was chosen. */
  AmbiguousImage: "ambiguous-image",
  InvalidChange: "invalid-change",
  InvalidHostsFile: "invalid-hosts-file",
  InvalidAuthFile: "invalid-auth-file",
  CredentialHelperFailed: "credential-helper-failed",
  AmbiguousId: "ambiguous-id",
  BlobNotFound: "blob-not-found",
} as const;
export type ImageReason = (typeof ImageReason)[keyof typeof ImageReason];
