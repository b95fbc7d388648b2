// `kiln inspect`: everything, as JSON.

import { Code, KilnError } from "../../base/errors.js";
import type { Kiln, ProcessInfo, Vm } from "../../sdk/index.js";
import { defineCommand } from "../command.js";
import { text } from "../flags.js";
import { dockerNetwork } from "../render/docker-networks.js";
import { dockerImage, dockerVm, dockerVolume } from "../render/docker-view.js";
import { printObjects } from "../render/objects.js";
import { ALSO } from "../render/template-values.js";

type Kind = "vm" | "image" | "kernel" | "volume" | "network";
const KINDS: readonly Kind[] = ["vm", "image", "kernel", "volume", "network"];

export const command = defineCommand({
  description: `
Shows all that is known of VMs, images, kernels, volumes or networks, as a JSON array, or of each what a template asks for. A name is looked
for among VMs, then images, then kernels, volumes and networks. The fields' names are those of the API; templates take any case of them, and
the names that \`docker inspect\` has beside them: .State.Status, .NetworkSettings.Ports, .Config.Env, .HostConfig.Memory.
A VM's .execs are the programs of \`kiln exec -d\`; Docker's .ExecIDs those of them that have not ended.
`,
  operands: [{ name: "NAME...", complete: "object" }],
  flags: {
    format: text("FORMAT", "json, or a template like '{{.status.state}}'", { short: "f", fallback: "json" }),
    type: text("KIND", "Look only among these", { choices: KINDS }),
  },
  examples: [
    { does: "everything", line: "kiln inspect web" },
    {
      does: "as Docker says it",
      line: "kiln inspect -f '{{.State.Running}} {{.NetworkSettings.IPAddress}}' web",
    },
    { does: "its state and why", line: "kiln inspect -f '{{.status.state}} {{.status.reason}}' web" },
    { does: "how long its start took", line: "kiln inspect -f '{{json .status.timings}}' web" },
  ],
  async run(context, { flags, operands }) {
    const kiln = await context.connect();
    const kinds = flags.type === undefined ? KINDS : [flags.type as Kind];
    const found: unknown[] = [];
    let code = 0;
    for (const name of operands) {
      try {
        found.push(await find(kiln, kinds, name));
      } catch (error) {
        code = 1;
        await context.report(error);
      }
    }
    await printObjects(context, flags.format, found);
    return code;
  },
});

/** Of a kilnd that does not know of them: none. */
async function execsOf({ processes }: Vm): Promise<readonly ProcessInfo[]> {
  try {
    return await processes.list({ all: true });
  } catch (error) {
    if (error instanceof KilnError && error.code === Code.Unimplemented) return [];
    throw error;
  }
}

/** The first kind that knows the name. */
async function find(kiln: Kiln, kinds: readonly Kind[], name: string): Promise<unknown> {
  for (const kind of kinds) {
    try {
      return await lookUp(kiln, kind, name);
    } catch (error) {
      const isOther = kinds.length > 1 && error instanceof KilnError && isNoSuchName(error);
      if (!isOther) throw error;
    }
  }
  throw new KilnError(Code.NotFound, `there is no VM, image, kernel, volume or network "${name}"`, {
    reason: "not-found",
    hint: "list them: kiln ps -a, kiln images, kiln kernel ls, kiln volume ls, kiln network ls",
  });
}

/** A text that cannot be an image's name is no image. */
function isNoSuchName(error: KilnError): boolean {
  return (
    error.code === Code.NotFound || (error.code === Code.InvalidArgument && error.reason !== "ambiguous-id")
  );
}

async function lookUp(kiln: Kiln, kind: Kind, name: string): Promise<unknown> {
  if (kind === "vm") {
    const vm = await kiln.vms.get(name);
    const execs = await execsOf(vm);
    const running = execs.filter(({ status }) => status.state !== "exited");
    return { ...vm.info, execs, [ALSO]: dockerVm(vm.info, running) };
  }
  if (kind === "image") {
    const image = await kiln.images.get(name);
    return { ...image, [ALSO]: dockerImage(image) };
  }
  if (kind === "volume") {
    const volume = await kiln.volumes.get(name);
    return { ...volume, [ALSO]: dockerVolume(volume) };
  }
  if (kind === "network") {
    const network = await kiln.networks.get(name);
    return { ...network, [ALSO]: dockerNetwork(network) };
  }
  const { resolveNamed } = await import("../../base/ids.js");
  return resolveNamed("kernel", name, await kiln.kernels.list());
}
