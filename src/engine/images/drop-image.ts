// Takes an image back that was fetched for a VM which could not be made of it.

import type { ImageStore, StoredImage } from "../../image/types.js";
import type { EventLog } from "../common/events.js";
import type { References } from "../objects/references.js";
import { removeIdle } from "./remove-image.js";

/** Where images are, and who may need one. */
export interface ImageUse {
  readonly rooms: { readonly images: Pick<ImageStore, "remove"> };
  readonly references: Pick<References, "tryClaim">;
  readonly events: Pick<EventLog, "emit">;
}

/** Removes an image, unless something else has come to need it meanwhile. */
export async function dropImage({ rooms, references, events }: ImageUse, image: StoredImage): Promise<void> {
  const { id, names } = image;
  if (!(await removeIdle(rooms.images, references, id))) return;
  events.emit({ type: "image", action: "delete", id, attributes: { name: names[0] ?? "" } });
}
