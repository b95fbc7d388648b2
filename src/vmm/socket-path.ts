// Unix sockets of a VM: short enough to be bound and reached.

import { join } from "node:path";
import { Code, KilnError } from "../base/errors.js";
import { MAX_SOCKET_PATH } from "../base/paths.js";

/**
 * `directory/name`.
 *
 * @throws KilnError invalid_argument `socket-path-too-long` (unix(7): sun_path holds 108 bytes with its NUL)
 */
export function socketPath(directory: string, name: string): string {
  const path = join(directory, name);
  const length = Buffer.byteLength(path);
  if (length > MAX_SOCKET_PATH) {
    throw new KilnError(
      Code.InvalidArgument,
      `socket path ${path} has ${length} bytes, but a unix socket holds ${MAX_SOCKET_PATH}`,
      { reason: "socket-path-too-long", hint: "move kiln's run directory to a shorter path (KILN_ROOT)" },
    );
  }
  return path;
}
