// kiln.v1.KernelService over the engine.

import type { ServiceImpl } from "@connectrpc/connect";
import type { Engine } from "../engine/index.js";
import type { KernelService } from "../gen/kiln/v1/kernel_pb.js";
import { toBuiltKernel, toKernel, toProgress } from "./convert-image.js";
import { withProgress } from "./progress-stream.js";

export function createKernelService(engine: Engine): ServiceImpl<typeof KernelService> {
  return {
    listKernels: () => ({ kernels: engine.kernels.list().map(toKernel) }),
    async *importKernel({ source, name, makeDefault, modulesDirectory }, { signal }) {
      const spec = { source, name, makeDefault, modulesDirectory };
      const work = withProgress((onProgress) => engine.kernels.import(spec, { signal, onProgress }));
      for await (const item of work) {
        if (item.kind === "result") yield { message: { case: "kernel", value: toKernel(item.value) } };
        else yield { message: { case: "progress", value: toProgress(item.update) } };
      }
    },
    async *buildKernel({ version, architecture, noCache, jobs, name, makeDefault }, { signal }) {
      const spec = { version, architecture, cache: !noCache, jobs, name, makeDefault };
      const work = withProgress((onProgress) => engine.kernels.build(spec, { signal, onProgress }));
      for await (const item of work) {
        if (item.kind === "result") yield { message: { case: "built", value: toBuiltKernel(item.value) } };
        else yield { message: { case: "progress", value: toProgress(item.update) } };
      }
    },
    removeKernel: async ({ kernel, force }) => ({ id: await engine.kernels.remove(kernel, force) }),
  };
}
