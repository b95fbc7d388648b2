// What VMs are now, asked once: apart from handles on VMs, which know all that a VM can do.

import { vmFromJson } from "./convert.js";
import type { CallOptions } from "./deadline.js";
import { CALL, checkOptions, type NamesOf } from "./known-options.js";
import type { Transport } from "./transport.js";
import type { VmInfo } from "./types.js";

/** Options of `kiln.vms.list()`. */
export interface ListVmsOptions extends CallOptions {
  /** Also those that do not run. */
  readonly all?: boolean | undefined;
  /** "label=k=v", "name=x", "status=running", "ancestor=image", "id=ab", "publish=8080", "expose=80", "volume=data". */
  readonly filter?: readonly string[] | undefined;
  readonly limit?: number | undefined;
}

const LIST_VMS_OPTIONS: NamesOf<ListVmsOptions> = { ...CALL, all: true, filter: true, limit: true };

export async function requestVms(transport: Transport, options: ListVmsOptions): Promise<VmInfo[]> {
  checkOptions("kiln.vms.list()", options, LIST_VMS_OPTIONS);
  const { all = false, filter = [], limit = 0 } = options;
  const request = { all, filters: filter.slice(), limit };
  const { vms } = await transport.unary("VmService/ListVms", request, options);
  return (vms ?? []).map(vmFromJson);
}
