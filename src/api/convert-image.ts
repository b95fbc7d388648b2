// Images, kernels and progress between the engine's types and the wire's.

import type { MessageInitShape } from "@bufbuild/protobuf";
import { defined } from "../base/defined.js";
import type { ProgressUpdate } from "../base/progress.js";
import type { ListedBuild, ListedKernel, RegistryCredentials, StoredImage } from "../engine/index.js";
import type { RegistryAuth } from "../gen/kiln/v1/image_pb.js";
import type { BuiltKernelSchema } from "../gen/kiln/v1/kernel_pb.js";
import type { ImageSchema, KernelSchema, ProgressSchema } from "../gen/kiln/v1/types_pb.js";
import { toTimestamp } from "./convert-vm.js";

export function toProgress(update: ProgressUpdate): MessageInitShape<typeof ProgressSchema> {
  const { id, status, current = 0, total = 0, message = "", unit = "" } = update;
  return { id, status, current: BigInt(current), total: BigInt(total), message, unit };
}

export function toImage(image: StoredImage): MessageInitShape<typeof ImageSchema> {
  const { os, architecture, variant } = image.platform;
  const { run } = image;
  return {
    id: image.id,
    names: [...image.names],
    digests: [...image.digests],
    sizeBytes: BigInt(image.sizeBytes),
    createdAt: isDated(image.createdAt) ? toTimestamp(image.createdAt) : undefined,
    platform: [os, architecture, variant].filter((part) => part !== undefined && part !== "").join("/"),
    config: {
      env: [...run.env],
      entrypoint: [...run.entrypoint],
      cmd: [...run.cmd],
      workdir: run.workdir,
      user: run.user,
      labels: { ...run.labels },
      exposedPorts: [...run.exposedPorts],
      stopSignal: run.stopSignal,
      volumes: [...run.volumes],
    },
    layers: image.layers.map((layer) => layer.diffId),
  };
}

/** The year 9999, the wire's last. */
const LAST_MS = 253_402_300_799_999;

/** Images that are built to be the same each time bear the date 0 of Unix or of Go, which means none. */
function isDated(time: string): boolean {
  const ms = Date.parse(time);
  return ms > 0 && ms <= LAST_MS;
}

export function toKernel({ kernel, isDefault, why }: ListedKernel): MessageInitShape<typeof KernelSchema> {
  return {
    id: kernel.id,
    name: kernel.name,
    release: kernel.release,
    source: kernel.source,
    sizeBytes: BigInt(kernel.sizeBytes),
    hasModules: kernel.modulesDirectory !== undefined,
    isDefault,
    why,
    createdAt: toTimestamp(kernel.createdAt),
  };
}

export function toBuiltKernel(built: ListedBuild): MessageInitShape<typeof BuiltKernelSchema> {
  const { image, imageName, kernel, cached } = built;
  return {
    image: toImage(image),
    imageName,
    cached,
    kernel: kernel && toKernel(kernel),
  };
}

export function fromAuth(auth: RegistryAuth): RegistryCredentials {
  const { username, password, identityToken } = auth;
  return defined({
    username: username || undefined,
    password: password || undefined,
    identityToken: identityToken || undefined,
  });
}
