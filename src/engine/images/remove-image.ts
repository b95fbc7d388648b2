// The one way in which images go. Whether one may is asked when nothing else changes it any more: a name that it gets
// before that keeps it, one that comes after makes it anew.

import { hasReason } from "../../base/errors.js";
import type { ImageStore, RemovedImage, StoredImage } from "../../image/types.js";
import type { Claim, References } from "../objects/references.js";

/**
 * Removes a name, or the image with its last one.
 *
 * @param claim of what is to be gone for good; undefined: it stays
 */
export async function removeImage(
  images: Pick<ImageStore, "remove">,
  key: string,
  claim: (image: StoredImage) => Claim | undefined,
): Promise<RemovedImage> {
  let claimed: Claim | undefined;
  try {
    return await images.remove(key, (image) => {
      claimed = claim(image);
      return claimed !== undefined;
    });
  } finally {
    claimed?.release();
  }
}

/**
 * Removes all of an image that nobody uses, if it is there.
 *
 * @param isWanted whether it may go: its names may have changed
 * @returns true where it is gone by this
 */
export async function removeIdle(
  images: Pick<ImageStore, "remove">,
  references: Pick<References, "tryClaim">,
  id: string,
  isWanted: (image: StoredImage) => boolean = () => true,
): Promise<boolean> {
  try {
    const { deleted } = await removeImage(images, id, (image) =>
      isWanted(image) ? references.tryClaim({ noun: "image", id }) : undefined,
    );
    return deleted.length > 0;
  } catch (error) {
    // Somebody else has removed it.
    if (hasReason(error, "image-not-found")) return false;
    throw error;
  }
}
