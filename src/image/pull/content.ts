// Where an image's content comes from: a registry, a layout directory, an archive that has been read already.

import type { OnProgress } from "../../base/progress.js";
import type { Descriptor } from "../manifest.js";
import type { Ingest } from "../store/ingest.js";

export interface ContentSource {
  /** For messages: "docker.io/library/nginx:1.25", "oci:/srv/layout". */
  readonly what: string;
  /** A manifest or index by its descriptor: checked against digest and size. */
  manifest(descriptor: Descriptor): Promise<Uint8Array>;
  /** Fills the ingest, which may hold the beginning already. What it has filled in is checked by the caller. */
  fetch(descriptor: Descriptor, ingest: Ingest, onProgress: OnProgress, signal: AbortSignal): Promise<void>;
}
