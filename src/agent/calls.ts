// What can be asked of an agent over one transport.

import type { Transport } from "@connectrpc/connect";
import { AgentService } from "../gen/kiln/agent/v1/agent_pb.js";
import { MountService } from "../gen/kiln/agent/v1/mount_pb.js";
import { WorkloadService } from "../gen/kiln/agent/v1/workload_pb.js";
import { clientOver } from "./client.js";
import { type GuestNet, netOver } from "./dial.js";
import { execsOver, type GuestExecs } from "./execs.js";
import { Features } from "./features.js";
import { filesOver, type GuestFiles } from "./files.js";
import { type GuestMachine, machineOver } from "./machine.js";
import { type GuestMounts, mountsOver } from "./mounts.js";
import { type Workloads, workloadsOver } from "./workloads.js";

export interface AgentCalls {
  readonly features: Features;
  readonly workloads: Workloads;
  readonly execs: GuestExecs;
  readonly files: GuestFiles;
  readonly machine: GuestMachine;
  readonly mounts: GuestMounts;
  readonly net: GuestNet;
}

/** Each session begins with a look at the guest's clock: that State call tells the features too, and none is made for them. */
export function callsOver(transport: Transport): AgentCalls {
  const client = clientOver(AgentService, transport);
  const { state } = client;
  const features = new Features((limits) => state({}, limits));
  client.state = (request, options) => features.note(state(request, options));
  return {
    features,
    workloads: workloadsOver(client, clientOver(WorkloadService, transport), features),
    execs: execsOver(client),
    files: filesOver(client),
    machine: machineOver(client, features),
    mounts: mountsOver(clientOver(MountService, transport), features),
    net: netOver(client),
  };
}
