// What `run` and `create` do first: make the VM, show the progress, write the id down.

import { open, unlink } from "node:fs/promises";
import { errnoOf, KilnError } from "../base/errors.js";
import { delay } from "../base/runtime.js";
import type { Progress, Vm } from "../sdk/index.js";
import type { Context } from "./context.js";
import { absoluteImage } from "./image-source.js";
import { interruptible, interruption } from "./interrupt.js";
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
  let making: Promise<Vm> | undefined;
  try {
    const reference = absoluteImage(image, context.cwd);
    const onProgress = (step: Progress) => progress.update(step);
    const make = async (signal: AbortSignal) => {
      const kiln = await context.connect();
      return await kiln.create(reference, { ...options, onProgress, signal });
    };
    const vm = await interruptible(`${verb} ${image}`, "no VM was made", (signal) => {
      making = make(signal);
      return making;
    });
    await idFile?.write(vm.id);
    return vm;
  } catch (error) {
    await idFile?.discard();
    const interrupted = error instanceof KilnError && error.reason === "interrupted";
    throw interrupted ? await takenBack(making, error, `${verb} ${image}`) : error;
  } finally {
    await progress.close();
  }
}

/** How long one who gave up is kept waiting, should it be too late to give up. */
const TOO_LATE_MS = 2_000;

/**
 * Removes the VM that was made all the same, its answer having come beside the signal.
 *
 * @returns the error to tell: the interruption, or that there is a VM now
 */
export async function takenBack(
  making: Promise<Pick<Vm, "name" | "remove">> | undefined,
  interrupted: KilnError,
  what: string,
): Promise<KilnError> {
  const enough = new AbortController();
  const late = delay(TOO_LATE_MS, enough.signal).catch(() => undefined);
  const vm = await Promise.race([making?.catch(() => undefined), late]);
  enough.abort();
  if (vm === undefined) return interrupted;
  try {
    await vm.remove({ force: true, timeoutMs: TOO_LATE_MS });
    return interrupted;
  } catch {
    const code = Number(interrupted.details.exitCode ?? 130);
    return interruption(
      `${what}: interrupted: VM ${vm.name} was made before; \`kiln rm ${vm.name}\` removes it`,
      code,
    );
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
