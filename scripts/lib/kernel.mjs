// The kernels of this checkout in a data root of their own, from which `npm start`, tests and benches take them:
// Debian's cloud kernel, fetched through apt once, and kiln's own, where it was built for the current configuration.

import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { ensureOwnKernel, openBuilder } from "./own-kernel.mjs";
import { PATHS, ROOT } from "./paths.mjs";
import { say, step } from "./step.mjs";

/**
 * Needs dist/ to be there.
 *
 * @param {{ own?: boolean }} options builds kiln's own kernel where it is not there
 */
export async function ensureKernel({ own = false } = {}) {
  const { createKernelCatalogue } = await import(`${ROOT}/dist/src/kernel/index.js`);
  const catalogue = createKernelCatalogue({ dataRoot: PATHS.kernelData });
  mkdirSync(PATHS.kernelData, { recursive: true });
  await catalogue.open();
  if (kernelPackages().length === 0) await fetchDebian();
  if (!catalogue.list().some(({ release }) => release.includes("-cloud-"))) {
    await step("import Debian's kernel", async () => {
      for (const path of kernelPackages()) await catalogue.importDeb(path, {});
    });
  }
  const builder = await openBuilder();
  const [built] = own ? [await ensureOwnKernel(builder)] : await builder.current();
  await importOwn(catalogue, built);
}

async function fetchDebian() {
  const { fetchDebianKernel } = await import(`${ROOT}/dist/src/kernel/index.js`);
  await step("fetch Debian's cloud kernel", async () => {
    const scratch = `${PATHS.kernelDebs}.apt`;
    mkdirSync(scratch, { recursive: true });
    try {
      await fetchDebianKernel(PATHS.kernelDebs, scratch);
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  });
}

async function importOwn(catalogue, built) {
  if (built === undefined) {
    say("kiln's own kernel is not built for this configuration (npm run kernel does): Debian's boots");
    return;
  }
  if (catalogue.list().some(({ id }) => id === built.image)) return;
  const source = `${built.source.package} ${built.source.version}`;
  const own = { source, configuration: built.configuration };
  await step("import kiln's own kernel", () =>
    catalogue.importTree(built.tree, { own, source: `kiln: ${source}` }),
  );
}

/** The packages that set-up has fetched. */
export function kernelPackages() {
  if (!existsSync(PATHS.kernelDebs)) return [];
  return readdirSync(PATHS.kernelDebs)
    .filter((name) => name.endsWith(".deb"))
    .map((name) => `${PATHS.kernelDebs}/${name}`);
}

/** kiln's own, as it was built: a tree with boot/vmlinux; undefined where it is not there. */
export async function ownKernel() {
  const [built] = await (await openBuilder()).current();
  return built;
}
