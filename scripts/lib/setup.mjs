// Everything that has to be there before kiln runs in the checkout, in order. Each step looks first whether it is
// done: the second time, all of it takes a fraction of a second.

import { checkNode, ensureCompiled, ensureNodeModules, ensureRust, linkCommands } from "./build.mjs";
import { ensureCritest } from "./critest.mjs";
import { ensureDebianImages, TEST_IMAGES } from "./debian-image.mjs";
import { ensureKernel } from "./kernel.mjs";
import { withSetupLock } from "./lock.mjs";
import { ensurePackages } from "./packages.mjs";
import { ensurePasst } from "./passt.mjs";

/**
 * @param {{ tests?: boolean, bench?: boolean, images?: string[], critest?: boolean }} options also what only tests need, or
 *   benches (which need both); Debian images beside theirs; Kubernetes' judges of a runtime
 */
export async function setup({ tests = false, bench = false, images = [], critest = false } = {}) {
  checkNode();
  await withSetupLock(async () => {
    await ensurePackages({ tests, kernel: tests });
    await ensureNodeModules();
    await ensureRust();
    await ensureCompiled();
    linkCommands();
    await ensurePasst({ needed: tests });
    await ensureKernel({ own: tests });
    await ensureDebianImages([...(tests ? TEST_IMAGES : ["debian"]), ...(bench ? ["bench"] : []), ...images]);
    if (critest) await ensureCritest();
  });
}
