// runtime.v1.ImageService over the engine: the images that kiln's own commands show, by CRI's rules.

import type { ServiceImpl } from "@connectrpc/connect";
import { hasReason } from "../base/errors.js";
import { type Engine, fullName, type StoredImage } from "../engine/index.js";
import type { ImageFilter, ImageService } from "../gen/runtime/v1/api_pb.js";
import { credentialsFor } from "./auth.js";
import { toImage } from "./convert-image.js";
import { findImage, imageText } from "./image-key.js";

const MOST_CONFIG_TEXT = 4 * 1024 ** 2;
/** In one message of a stream: some tens of KiB. */
const IMAGES_A_MESSAGE = 100;
const NS_A_MS = 1_000_000n;

/** The engine's images, as the service uses them. */
type Images = Pick<
  Engine["images"],
  "list" | "look" | "pull" | "remove" | "readText" | "registryOf" | "hasVms" | "usage"
>;

/** @param dataRoot a path on the file system that images fill */
export function createImageService(
  { images }: { readonly images: Images },
  { dataRoot }: { readonly dataRoot: string },
): ServiceImpl<typeof ImageService> {
  // The kubelet must not take from a VM of kiln's what its next start may want: it knows pods only.
  const shown = (image: StoredImage) => toImage(image, images.hasVms(image.id));
  const listed = (filter: ImageFilter | undefined): readonly StoredImage[] => {
    if (!filter?.image?.image) return images.list();
    const found = findImage(images, filter.image);
    return found === undefined ? [] : [found];
  };
  return {
    listImages: ({ filter }) => ({ images: listed(filter).map(shown) }),
    async *streamImages({ filter }) {
      const all = listed(filter).map(shown);
      for (let at = 0; at < all.length; at += IMAGES_A_MESSAGE) {
        yield { images: all.slice(at, at + IMAGES_A_MESSAGE) };
      }
    },
    async imageStatus({ image: spec, verbose }) {
      const image = findImage(images, spec);
      if (image === undefined) return {};
      return { image: shown(image), info: verbose ? await infoOf(images, image) : {} };
    },
    async pullImage({ image, auth }, { signal }) {
      const name = fullName(imageText(image));
      const registry = images.registryOf(name);
      const credentials = credentialsFor(registry, auth);
      const pulled = await images.pull(name, {
        ...(credentials === undefined ? {} : { credentials: new Map([[registry, credentials]]) }),
        credentialFiles: "only-given",
        signal,
      });
      return { imageRef: pulled.id };
    },
    async removeImage({ image: spec }) {
      const image = findImage(images, spec);
      try {
        // By its id: all of its names go, whichever was said.
        if (image !== undefined) await images.remove(image.id, false);
      } catch (error) {
        // Somebody else has removed it.
        if (!hasReason(error, "image-not-found")) throw error;
      }
      return {};
    },
    async imageFsInfo() {
      const { bytes, files } = await images.usage();
      const usage = {
        timestamp: BigInt(Date.now()) * NS_A_MS,
        fsId: { mountpoint: dataRoot },
        usedBytes: { value: BigInt(bytes) },
        inodesUsed: { value: BigInt(files) },
      };
      return { imageFilesystems: [usage] };
    },
  };
}

/** What `crictl inspecti` shows of the image's own words. */
async function infoOf(images: Images, { id }: StoredImage): Promise<{ info: string }> {
  const config: unknown = JSON.parse(await images.readText(id, MOST_CONFIG_TEXT));
  return { info: JSON.stringify({ imageSpec: config }) };
}
