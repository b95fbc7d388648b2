// Whom a container's program runs as. Names are looked for in the image's own files, so the agent does it, which has them;
// here it is decided what is looked for.

import { Code, KilnError } from "../../../base/errors.js";
import type { ContainerUser } from "../containers/spec.js";

/** What the agent resolves in the container's root. */
export interface UserOrder {
  /** A name or a number; "" is root. */
  readonly user: string;
  /** A name or a number; "": the user's own. */
  readonly group: string;
  readonly supplementalGroups: readonly number[];
  /** Those that the image has the user in, as well. */
  readonly imageGroups: boolean;
}

/**
 * @param imageUser the image's "user[:group]", which counts where no user was asked for
 * @throws KilnError invalid_argument `group-without-user`
 */
export function planUser(asked: ContainerUser, imageUser: string): UserOrder {
  const { uid, name, gid, supplementalGroups, groupsPolicy } = asked;
  const groups = { supplementalGroups, imageGroups: groupsPolicy === "merge" };
  const user = name || uid?.toString();
  if (user !== undefined) return { user, group: gid?.toString() ?? "", ...groups };
  if (gid !== undefined) {
    throw new KilnError(Code.InvalidArgument, `the container asks for group ${gid} and for no user`, {
      reason: "group-without-user",
      hint: "give runAsUser too",
    });
  }
  const colon = imageUser.indexOf(":");
  if (colon < 0) return { user: imageUser, group: "", ...groups };
  return { user: imageUser.slice(0, colon), group: imageUser.slice(colon + 1), ...groups };
}
