// kiln.v1.VolumeService over the engine.

import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { Code, KilnError } from "../base/errors.js";
import type { Engine, VolumeView } from "../engine/index.js";
import type { VolumeSchema } from "../gen/kiln/v1/types_pb.js";
import type { VolumeService } from "../gen/kiln/v1/volume_pb.js";
import { fromMount, toMountStatus } from "./convert-mounts.js";
import { toTimestamp } from "./convert-vm.js";
import { bytesOf, noStart } from "./upload.js";

/** What is missing answers UNIMPLEMENTED. */
export function createVolumeService({ volumes, vms }: Engine): Partial<ServiceImpl<typeof VolumeService>> {
  return {
    async createVolume({ name, sizeBytes, labels }) {
      return { volume: toVolume(await volumes.create({ name, sizeBytes: Number(sizeBytes), labels })) };
    },
    listVolumes: async ({ filters }) => ({ volumes: (await volumes.list(filters)).map(toVolume) }),
    getVolume: async ({ volume }) => ({ volume: toVolume(await volumes.find(volume)) }),
    removeVolume: async ({ volume }) => ({ id: await volumes.remove(volume) }),
    async pruneVolumes({ all, filters }) {
      const { names, bytes } = await volumes.prune(all, filters);
      return { volumes: [...names], reclaimedBytes: BigInt(bytes) };
    },
    async *exportVolume({ volume }, { signal }) {
      for await (const data of volumes.files.read(volume, signal)) yield { data };
    },
    async importVolume(requests, { signal }) {
      const iterator = requests[Symbol.asyncIterator]();
      const first = await iterator.next();
      if (first.done === true || first.value.message.case !== "start") throw noStart("import");
      const { volume } = first.value.message.value;
      await volumes.files.write(volume, bytesOf(iterator), signal);
      return { volume: toVolume(await volumes.find(volume)) };
    },
    async growVolume({ volume, sizeBytes }) {
      return { volume: toVolume(await volumes.grow(volume, Number(sizeBytes))) };
    },
    async attachVolume({ vm, mount }) {
      if (mount === undefined) throw noMount();
      return { mount: toMountStatus(await vms.attachVolume(vm, fromMount(mount))) };
    },
    async detachVolume({ vm, target }) {
      await vms.detachVolume(vm, target);
      return {};
    },
  };
}

function noMount(): KilnError {
  return new KilnError(Code.InvalidArgument, "the request holds no mount", { reason: "bad-request" });
}

function toVolume(volume: VolumeView): MessageInitShape<typeof VolumeSchema> {
  const { id, name, anonymous, writer } = volume;
  return {
    ...{ id, name, anonymous, writer },
    createdAt: toTimestamp(volume.createdAt),
    labels: { ...volume.labels },
    sizeBytes: BigInt(volume.sizeBytes),
    filesystemBytes: BigInt(volume.filesystemBytes),
    usedBytes: BigInt(volume.usedBytes),
    vms: [...volume.vms],
  };
}
