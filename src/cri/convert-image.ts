// Images between the engine's types and CRI's.

import type { MessageInitShape } from "@bufbuild/protobuf";
import type { StoredImage } from "../engine/index.js";
import type { ImageSchema } from "../gen/runtime/v1/api_pb.js";

/** @param pinned the kubelet must leave it alone when it makes room */
export function toImage(image: StoredImage, pinned: boolean): MessageInitShape<typeof ImageSchema> {
  const { id, names, digests, sizeBytes, run } = image;
  return {
    id,
    repoTags: [...names],
    repoDigests: [...digests],
    size: BigInt(sizeBytes),
    ...userOf(run.user),
    // Never the name by which it was asked for: an image is the same however it is called.
    spec: { image: id },
    pinned,
  };
}

const LARGEST_UID = 2 ** 31 - 1;

/** Of "1000:1000", "www-data", "": the kubelet decides by it whether a container that must not be root would be. */
export function userOf(text: string): { uid?: { value: bigint }; username?: string } {
  const [user = ""] = text.split(":");
  if (user === "") return {};
  const isUid = /^[0-9]+$/.test(user) && Number(user) <= LARGEST_UID;
  return isUid ? { uid: { value: BigInt(user) } } : { username: user };
}
