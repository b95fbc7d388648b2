// A kernel that was built as an OCI image in Weave Ignite's form: /boot/vmlinux, and its configuration beside it. The
// same kernel gives the same image, byte for byte: one layer, dates of the sources. Its labels say what it is made of,
// and what of that an import believes.

import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { encodeTarHeader, paddingOf } from "../../base/tar-format.js";
import type { StoredImage } from "../../image/types.js";
import type { BuiltKernel } from "../../kernel/index.js";
import type { OwnKernel } from "../../kernel/types.js";

/** How the image is called and what its config says. */
export interface KernelImagePlan {
  /** "localhost/kiln-kernel:6.1.192-amd64": the newest of that version has the name. */
  readonly name: string;
  readonly platform: { readonly os: string; readonly architecture: string };
  /** LABEL lines. */
  readonly changes: readonly string[];
  readonly createdAt: Date;
}

const REPOSITORY = "localhost/kiln-kernel";
const SOURCE = "dev.kiln.kernel.source";
const CONFIGURATION = "dev.kiln.kernel.configuration";
/** End of an archive: two blocks of zeros. */
const END = Buffer.alloc(1024);

export function planKernelImage(built: BuiltKernel): KernelImagePlan {
  const { source, architecture, release, epoch } = built;
  const version = source.version.replace(/-.*$/, "");
  const labels: Record<string, string> = {
    "org.opencontainers.image.title": "Linux for kiln's microVMs",
    "org.opencontainers.image.version": version,
    "dev.kiln.kernel.release": release,
    [SOURCE]: `${source.package} ${source.version}`,
    [CONFIGURATION]: built.configuration,
    "dev.kiln.kernel.config": built.config,
    "dev.kiln.kernel.compiler": built.compiler,
    "dev.kiln.kernel.key": built.key,
  };
  return {
    name: `${REPOSITORY}:${version}-${architecture}`,
    platform: { os: "linux", architecture },
    changes: Object.entries(labels).map(([key, value]) => `LABEL ${key}=${quote(value)}`),
    createdAt: new Date(epoch * 1000),
  };
}

/** The layer: a tar of /boot. */
export async function* kernelLayer(built: BuiltKernel): AsyncGenerator<Uint8Array> {
  const mtimeMs = built.epoch * 1000;
  const entry = { uid: 0, gid: 0, mtimeMs, linkName: "" };
  yield encodeTarHeader({ ...entry, name: "boot", type: "directory", mode: 0o755, size: 0 });
  for (const name of ["boot/config", "boot/vmlinux"]) {
    const path = join(built.tree, name);
    const { size } = await stat(path);
    yield encodeTarHeader({ ...entry, name, type: "file", mode: 0o644, size });
    yield* createReadStream(path) as AsyncIterable<Buffer>;
    yield Buffer.alloc(paddingOf(size));
  }
  yield END;
}

/** What an image's labels say of a kernel that kiln has built; undefined for all others. */
export function ownKernelOf(image: StoredImage): OwnKernel | undefined {
  const { [SOURCE]: source = "", [CONFIGURATION]: configuration = "" } = image.run.labels;
  if (!/^[\x20-\x7e]{1,128}$/.test(source) || !/^[0-9a-f]{64}$/.test(configuration)) return undefined;
  return { source, configuration };
}

/** A word of a Dockerfile line. */
function quote(text: string): string {
  return `"${text.replace(/["\\$]/g, "\\$&")}"`;
}
