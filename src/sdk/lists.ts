// A side door for the CLI: what is asked most often, by a connection of its own. All of the SDK takes twice as long to load.

import { type ConnectOptions, openTransport } from "./connect.js";
import type { VmInfo } from "./types.js";
import { type ListVmsOptions, requestVms } from "./vm-list.js";

/** As `kiln.vms.list()`. @throws KilnError as `Kiln.connect()` */
export async function listVms(connect: ConnectOptions, options: ListVmsOptions): Promise<VmInfo[]> {
  const { transport } = await openTransport(connect);
  try {
    return await requestVms(transport, options);
  } finally {
    await transport.close();
  }
}
