// The images that critest asks for, made here and served by Debian's docker-registry, which stands in for the registries
// that they are named after: by mirrors, so that references stay as they are. So far those of the specs about images; they
// are never run.

import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startRegistry, type TestRegistry } from "../fixtures/registry/index.js";
import { tarOf, tinyImage, writeLayout } from "../fixtures/registry/tiny-image.js";

/** Whose images there are. */
const REGISTRIES = ["registry.k8s.io", "k8s.gcr.io", "gcr.io"];
const STAGING = "k8s-staging-cri-tools";

interface Served {
  /** "pause:3.9": under each of the registries. */
  readonly targets: readonly string[];
  readonly run?: object;
}

const SERVED: readonly Served[] = [
  { targets: ["pause:3.9"] },
  { targets: [`${STAGING}/test-image-latest:latest`] },
  { targets: [`${STAGING}/test-image-tag:test`] },
  { targets: [`${STAGING}/test-image-tag:all`] },
  ...[1, 2, 3].map((n) => ({ targets: [`${STAGING}/test-image-${n}:latest`] })),
  // One image by three names.
  { targets: [1, 2, 3].map((n) => `${STAGING}/test-image-tags:${n}`) },
  { targets: [`${STAGING}/test-image-user-uid:latest`], run: { User: "1002" } },
  { targets: [`${STAGING}/test-image-user-username:latest`], run: { User: "www-data" } },
  { targets: [`${STAGING}/test-image-user-uid-group:latest`], run: { User: "1003:1004" } },
  { targets: [`${STAGING}/test-image-user-username-group:latest`], run: { User: "www-data:1004" } },
];

/** @returns a registry that has them all */
export async function serveImages(): Promise<TestRegistry> {
  const registry = await startRegistry();
  const directory = await mkdtemp(join(tmpdir(), "kiln-critest-"));
  try {
    for (const [index, { targets, run = { Cmd: ["sh"] } }] of SERVED.entries()) {
      const layout = join(directory, String(index));
      const image = tinyImage({ tars: [tarOf({ "etc/image": targets[0] ?? "" })], run });
      await writeLayout(layout, [{ image, tag: "it" }]);
      for (const target of targets) await registry.push(`oci:${layout}:it`, target);
    }
    return registry;
  } catch (error) {
    await registry.stop();
    throw error;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Has a kilnd ask that registry for what it is asked of theirs. @param configRoot kilnd's */
export async function writeMirrors(configRoot: string, registry: TestRegistry): Promise<void> {
  for (const name of REGISTRIES) {
    const directory = join(configRoot, "certs.d", name);
    await mkdir(directory, { recursive: true });
    await writeFile(join(directory, "hosts.toml"), `server = "http://${registry.host}"\n`);
  }
}
