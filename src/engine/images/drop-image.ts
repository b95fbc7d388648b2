// Takes an image back that was fetched for a VM which could not be made of it.

import type { ImageStore, StoredImage } from "../../image/types.js";
import type { EventLog } from "../common/events.js";
import type { Holds } from "../objects/holds.js";
import type { VmRegistry } from "../vm/registry.js";

/** Where images are, and who may need one. */
export interface ImageUse {
  readonly rooms: { readonly images: Pick<ImageStore, "find" | "remove"> };
  readonly vms: Pick<VmRegistry, "list">;
  readonly imageHolds: Pick<Holds, "has">;
  readonly events: Pick<EventLog, "emit">;
}

/** Removes an image, unless something else has come to need it meanwhile. */
export async function dropImage(use: ImageUse, image: StoredImage): Promise<void> {
  const used = use.vms.list().some((entry) => entry.record.config.imageId === image.id);
  if (used || use.imageHolds.has(image.id) || use.rooms.images.find(image.id) === undefined) return;
  await use.rooms.images.remove(image.id);
  use.events.emit({
    type: "image",
    action: "delete",
    id: image.id,
    attributes: { name: image.names[0] ?? "" },
  });
}
