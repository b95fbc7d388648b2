// kiln.v1.VolumeService over the engine.

import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import type { Engine, VolumeView } from "../engine/index.js";
import type { VolumeSchema } from "../gen/kiln/v1/types_pb.js";
import type { VolumeService } from "../gen/kiln/v1/volume_pb.js";
import { toTimestamp } from "./convert-vm.js";
import { bytesOf, noStart } from "./upload.js";

/** What is missing answers UNIMPLEMENTED. */
export function createVolumeService({ volumes }: Engine): Partial<ServiceImpl<typeof VolumeService>> {
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
  };
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
