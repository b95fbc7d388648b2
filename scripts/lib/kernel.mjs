// The default kernel: Debian's cloud kernel, fetched through apt once per checkout and imported into a data root of
// its own, from which `npm start`, tests and benches take it.

import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { PATHS, ROOT } from "./paths.mjs";
import { step } from "./step.mjs";

/** Needs dist/ to be there. */
export async function ensureKernel() {
  const { createKernelCatalogue, fetchDebianKernel } = await import(`${ROOT}/dist/src/kernel/index.js`);
  const catalogue = createKernelCatalogue({ dataRoot: PATHS.kernelData });
  mkdirSync(PATHS.kernelData, { recursive: true });
  await catalogue.open();
  if (kernelPackages().length === 0) {
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
  if (catalogue.default() === undefined) {
    await step("import the kernel", async () => {
      for (const path of kernelPackages()) await catalogue.importDeb(path, {});
    });
  }
}

/** The packages that set-up has fetched. */
export function kernelPackages() {
  if (!existsSync(PATHS.kernelDebs)) return [];
  return readdirSync(PATHS.kernelDebs)
    .filter((name) => name.endsWith(".deb"))
    .map((name) => `${PATHS.kernelDebs}/${name}`);
}
