// What `run` and `create` do first: make the VM, show the progress, write the id down.

import { open, unlink } from "node:fs/promises";
import { errnoOf, KilnError } from "../base/errors.js";
import type { Progress, Vm } from "../sdk/index.js";
import type { Context } from "./context.js";
import { absoluteImage } from "./image-source.js";
import { interruptible } from "./interrupt.js";
import { openProgress } from "./render/progress.js";
import { type RunFlagValues, vmOptionsOf } from "./run-flags.js";
import { usageError } from "./usage-error.js";

/** Makes the VM of `run` or `create`. @throws KilnError */
export async function createVm(
  context: Context,
  verb: string,
  flags: RunFlagValues,
  [image = "", ...command]: readonly string[],
): Promise<Vm> {
  const options = await vmOptionsOf(context, verb, flags, command);
  const idFile = flags.cidfile === undefined ? undefined : await reserveIdFile(flags.cidfile);
  const progress = openProgress(context, flags.progress, flags.quiet);
  try {
    const reference = absoluteImage(image, context.cwd);
    const onProgress = (step: Progress) => progress.update(step);
    const vm = await interruptible(`${verb} ${image}`, "no VM was made", async (signal) => {
      const kiln = await context.connect();
      return await kiln.create(reference, { ...options, onProgress, signal });
    });
    await idFile?.write(vm.id);
    return vm;
  } catch (error) {
    await idFile?.discard();
    throw error;
  } finally {
    await progress.close();
  }
}

/** The file is made before the VM: a script must not find out afterwards that it cannot learn the id. */
async function reserveIdFile(
  path: string,
): Promise<{ write(id: string): Promise<void>; discard(): Promise<void> }> {
  try {
    const file = await open(path, "wx", 0o644);
    return {
      write: async (id) => {
        await file.writeFile(id);
        await file.close();
      },
      discard: async () => {
        await file.close();
        await unlink(path);
      },
    };
  } catch (error) {
    if (errnoOf(error) === "EEXIST") {
      throw usageError("run", `--cidfile ${path} is there already: remove it, or the VM it names`);
    }
    throw KilnError.from(error, `write --cidfile ${path}`);
  }
}
