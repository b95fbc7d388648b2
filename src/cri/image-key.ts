// Which image a call means. Kubernetes names images by references, digests and ids, crictl by pieces of ids too. What
// kiln's own commands take beside these (layouts and archives of the host, localhost/ left out) is none of CRI's: the
// name comes from whoever wrote the pod, who has no business with the host's files.

import { Code, KilnError } from "../base/errors.js";
import { type Engine, fullName, type StoredImage } from "../engine/index.js";
import type { ImageSpec } from "../gen/runtime/v1/api_pb.js";

const ID = /^(sha256:)?[a-f0-9]{64}$/;
/** crictl shows 13 digits. Fewer are rather a name. */
const PIECE_OF_ID = /^[a-f0-9]{12,63}$/;

/** What a call says of an image. @throws KilnError invalid_argument `no-image` where it says nothing */
export function imageText(spec: ImageSpec | undefined): string {
  if (spec?.image) return spec.image;
  throw new KilnError(Code.InvalidArgument, "the call names no image", { reason: "no-image" });
}

/**
 * The image of that name, digest or id; undefined where it is not here.
 *
 * @throws KilnError invalid_argument `no-image`, `invalid-reference`, `ambiguous-id`
 */
export function findImage(
  images: Pick<Engine["images"], "look">,
  spec: ImageSpec | undefined,
): StoredImage | undefined {
  const text = imageText(spec);
  if (ID.test(text)) return images.look(text);
  const named = images.look(fullName(text));
  return named ?? (PIECE_OF_ID.test(text) ? images.look(`sha256:${text}`) : undefined);
}
