// What completion offers for each kind of name: `Completion` in flags.ts, and so what flags and operands may say, comes
// of this table.

import { shortId } from "../base/ids.js";
import type { Kiln, ListProcessesOptions } from "../sdk/index.js";
import { familiarImage, wordsText } from "./render/names.js";

/** A name as it may stand at the cursor; `text` describes it. */
export interface OfferedName {
  readonly value: string;
  readonly text: string;
}

export interface NameAsk {
  readonly kiln: Kiln;
  /** For each call. */
  readonly limit: { readonly timeoutMs: number };
  /** The operands before the cursor: an exec's VM may be among them. */
  readonly operands: readonly string[];
  /** The word at the cursor. */
  readonly typed: string;
}

type Offer = (ask: NameAsk) => Promise<readonly OfferedName[]>;

const LATEST = ":latest";
/** Whose programs are asked for where no VM is named yet. */
const MOST_VMS = 32;

export const OFFERED_NAMES = {
  vm: vmNames({ all: true }),
  /** Whatever bears a name. */
  object: async (ask) => [
    ...(await vmNames({ all: true })(ask)),
    ...(await imageNames(ask)),
    ...(await volumeNames(ask)),
    ...(await networkNames(ask)),
  ],
  "running-vm": vmNames({ all: false }),
  exec: execNames({ all: true }),
  "running-exec": execNames({ all: false }),
  image: imageNames,
  kernel: async ({ kiln, limit }) =>
    (await kiln.kernels.list(limit)).map(({ name, release }) => ({ value: name, text: release })),
  volume: volumeNames,
  /** Where a VM has volumes. */
  "volume-target": async ({ kiln, limit, operands: [vm] }) => {
    if (vm === undefined) return [];
    const { info } = await kiln.vms.get(vm, limit);
    const volumes = info.status.mounts.filter(({ mount }) => mount.type === "volume");
    return volumes.map(({ mount }) => ({ value: mount.target, text: mount.source }));
  },
  network: networkNames,
  "network-flag": async (ask) => [...MODES, ...(await networkNames(ask))],
} satisfies Record<string, Offer>;

const MODES: readonly OfferedName[] = [
  { value: "user", text: "a way out of its own" },
  { value: "none", text: "no network" },
];

async function networkNames({ kiln, limit }: NameAsk): Promise<readonly OfferedName[]> {
  const networks = await kiln.networks.list(limit);
  return networks.map(({ name, subnet, subnet6 }) => ({ value: name, text: subnet || subnet6 }));
}

/** A kind of name that kilnd knows. */
export type NameKind = keyof typeof OFFERED_NAMES;

function vmNames(which: { readonly all: boolean }): Offer {
  return async ({ kiln, limit }) => {
    const vms = await kiln.vms.list({ ...limit, ...which });
    return vms.map(({ name, config, status }) => ({
      value: name,
      text: `${familiarImage(config.image)}, ${status.state}`,
    }));
  };
}

async function imageNames({ kiln, limit, typed }: NameAsk): Promise<OfferedName[]> {
  const images = await kiln.images.list(limit);
  const forms = new Set(images.flatMap(({ names }) => names.flatMap((name) => formsOf(name, typed))));
  return [...forms].map((value) => ({ value, text: "" }));
}

async function volumeNames({ kiln, limit }: NameAsk): Promise<OfferedName[]> {
  return (await kiln.volumes.list(limit)).map(({ name, vms }) => ({ value: name, text: vms.join(", ") }));
}

/** Of the VM where one is named already, else of all. */
function execNames(which: { readonly all: boolean }): Offer {
  return async ({ kiln, limit, operands: [vm] }) => {
    const options: ListProcessesOptions = { ...limit, ...which };
    const names = vm === undefined ? (await kiln.vms.list(options)).map(({ name }) => name) : [vm];
    const lists = names.slice(0, MOST_VMS).map(async (name) => {
      const execs = await kiln.vms.ref(name).processes.list(options);
      return execs.map(({ id, config, status }) => ({
        value: shortId(id),
        text: `${vm === undefined ? `${name}: ` : ""}${wordsText(config.args)}, ${status.state}`,
      }));
    });
    return (await Promise.all(lists)).flat();
  };
}

/** As people write it, and without the tag that goes without saying. As kiln keeps it for those who write it so. */
function formsOf(name: string, typed: string): string[] {
  const forms = typed.includes("/") ? [familiarImage(name), name] : [familiarImage(name)];
  return forms.flatMap((form) => (form.endsWith(LATEST) ? [form.slice(0, -LATEST.length), form] : [form]));
}
