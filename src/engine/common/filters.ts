// The filters of lists and events: "key=value" words, Docker's. Values of one key are alternatives, keys add up; an
// unknown key is refused, because silently ignored it would select too much.

import { Code, KilnError } from "../../base/errors.js";
import { matchesReference } from "../../base/path-match.js";
import type { PortMapping } from "../../base/ports.js";
import { parseDuration } from "../../base/units.js";
import { familiarName } from "../../image/index.js";
import type { StoredImage } from "../../image/types.js";
import type { KilnEvent } from "./events.js";

export type Filters = ReadonlyMap<string, readonly string[]>;

/** Filters whose values are a few words, and how each verb may spell them. */
const VALUES: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  ps: { status: ["created", "starting", "running", "paused", "stopping", "exited", "failed"] },
  images: { dangling: ["true", "false", "1", "0"] },
  events: { type: ["vm", "image", "kernel", "volume", "network", "system"] },
  volumes: { dangling: ["true", "false", "1", "0"] },
  networks: { dangling: ["true", "false", "1", "0"] },
};

/**
 * @param what for the message: "ps", "events"
 * @throws KilnError invalid_argument `bad-filter`, also for a value that can't match anything ever
 */
export function parseFilters(what: string, texts: readonly string[], known: readonly string[]): Filters {
  const filters = new Map<string, string[]>();
  for (const text of texts) {
    const cut = text.indexOf("=");
    const key = text.slice(0, cut);
    if (cut < 1 || !known.includes(key)) {
      throw new KilnError(Code.InvalidArgument, `"${text}" is no filter of ${what}`, {
        reason: "bad-filter",
        hint: `write KEY=VALUE with one of ${known.join(", ")}`,
      });
    }
    const value = text.slice(cut + 1);
    const words = VALUES[what]?.[key];
    if (words !== undefined && !words.includes(value)) {
      throw new KilnError(Code.InvalidArgument, `"${value}" is no ${key} for filters of ${what}`, {
        reason: "bad-filter",
        hint: `write ${key}= with one of ${words.join(", ")}`,
      });
    }
    if ((key === "publish" || key === "expose") && !isPortRange(value)) {
      throw new KilnError(Code.InvalidArgument, `"${value}" is no port for filters of ${what}`, {
        reason: "bad-filter",
        hint: `write ${key}=PORT, ${key}=FIRST-LAST or ${key}=PORT/udp`,
      });
    }
    filters.set(key, [...(filters.get(key) ?? []), value]);
  }
  return filters;
}

export const VM_FILTERS = [
  ...["id", "name", "label", "status", "ancestor", "publish", "expose", "volume", "network"],
] as const;

/** What filters ask of a mount. */
export interface FilteredMount {
  /** Name of a volume, path of the host, image. */
  readonly source: string;
  readonly target: string;
  readonly volumeId: string;
}

/** What filters ask of a VM. */
export interface FilteredVm {
  readonly id: string;
  readonly name: string;
  readonly state: string;
  readonly record: {
    readonly createdAt: string;
    readonly config: {
      readonly image: string;
      readonly imageId: string;
      readonly labels: Readonly<Record<string, string>>;
      readonly mounts: readonly FilteredMount[];
      readonly network: string;
      readonly networks: readonly { readonly name: string; readonly networkId: string }[];
    };
  };
  readonly status: { readonly ports: readonly PortMapping[] };
}

/** Whether a VM passes. */
export function matchesVm(entry: FilteredVm, filters: Filters): boolean {
  const { config } = entry.record;
  return passes(filters, {
    id: (value) => entry.id.startsWith(value),
    name: (value) => entry.name.includes(value),
    label: (value) => hasLabel(config.labels, value),
    status: (value) => entry.state === value,
    ancestor: (value) => config.image === value || sameImage(config.imageId, value),
    publish: (value) =>
      entry.status.ports.some(({ hostPort, protocol }) => isPort(value, hostPort, protocol)),
    expose: (value) => entry.status.ports.some(({ vmPort, protocol }) => isPort(value, vmPort, protocol)),
    volume: (value) => config.mounts.some((mount) => isMountOf(mount, value)),
    network: (value) => isOnNetwork(config, value),
  });
}

/** "none" only where it is the only one. */
function isOnNetwork({ network, networks }: FilteredVm["record"]["config"], wanted: string): boolean {
  if (wanted === "user") return network === wanted;
  if (wanted === "none") return network === wanted && networks.length === 0;
  return networks.some(({ name, networkId }) => name === wanted || isIdOf(networkId, wanted));
}

/** By what is mounted or where, as Docker has it: a volume's name or id, a path of the host, a path in the VM. */
function isMountOf({ source, target, volumeId }: FilteredMount, wanted: string): boolean {
  const path = wanted.replace(/(?<=.)\/+$/, "");
  if (path === "") return false;
  return path === target || path === source.replace(/(?<=.)\/+$/, "") || isIdOf(volumeId, wanted);
}

export const IMAGE_FILTERS = ["reference", "label", "dangling"] as const;

/** Whether an image passes. */
export function matchesImage(image: StoredImage, filters: Filters): boolean {
  return passes(filters, {
    reference: (value) =>
      [...image.names, ...image.digests].some((name) => matchesReference(value, familiarName(name))),
    label: (value) => hasLabel(image.run.labels, value),
    dangling: (value) => (image.names.length === 0) === (value === "true" || value === "1"),
  });
}

export const VOLUME_FILTERS = ["id", "name", "label", "dangling"] as const;

/** What filters ask of a volume. */
export interface FilteredVolume {
  readonly id: string;
  readonly name: string;
  readonly createdAt: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Nobody has it among its mounts. */
  readonly isDangling: boolean;
}

/** Whether a volume passes. */
export function matchesVolume(volume: FilteredVolume, filters: Filters, nowMs: number): boolean {
  return passes(filters, {
    id: (value) => volume.id.startsWith(value),
    name: (value) => volume.name.includes(value),
    label: (value) => hasLabel(volume.labels, value),
    dangling: (value) => volume.isDangling === (value === "true" || value === "1"),
    until: (value) => isOlder(volume.createdAt, value, nowMs),
  });
}

export const NETWORK_FILTERS = ["id", "name", "label", "driver", "dangling"] as const;

/** What filters ask of a network; dangling: no VM has it among its own. */
export interface FilteredNetwork extends FilteredVolume {
  readonly driver: string;
}

/** Whether a network passes. */
export function matchesNetwork(network: FilteredNetwork, filters: Filters, nowMs: number): boolean {
  return passes(filters, {
    id: (value) => network.id.startsWith(value),
    name: (value) => network.name.includes(value),
    label: (value) => hasLabel(network.labels, value),
    driver: (value) => network.driver === value,
    dangling: (value) => network.isDangling === (value === "true" || value === "1"),
    until: (value) => isOlder(network.createdAt, value, nowMs),
  });
}

export const EVENT_FILTERS = [
  "type",
  "action",
  "event",
  "vm",
  "image",
  "volume",
  "network",
  "label",
] as const;

/** Whether an event passes. */
export function matchesEvent(event: KilnEvent, filters: Filters): boolean {
  return passes(filters, {
    type: (value) => event.type === value,
    action: (value) => event.action === value,
    event: (value) => event.action === value,
    vm: (value) => isOfVm(event, value),
    image: (value) =>
      event.attributes.image === value || (event.type === "image" && event.attributes.name === value),
    volume: (value) =>
      event.attributes.volume === value ||
      (event.type === "volume" && (event.id.startsWith(value) || event.attributes.name === value)),
    network: (value) =>
      event.attributes.network === value ||
      (event.type === "network" && (event.id.startsWith(value) || event.attributes.name === value)),
    label: (value) => hasLabel(event.attributes, value),
  });
}

/** A volume is mounted and unmounted by a VM too, and a network joined and left. */
function isOfVm({ type, id, attributes }: KilnEvent, wanted: string): boolean {
  if (type === "vm") return id.startsWith(wanted) || attributes.name === wanted;
  return (type === "volume" || type === "network") && attributes.vm === wanted;
}

/** Keys that `kiln image prune`, `kiln volume prune`, `kiln network prune` and `kiln system prune` know. */
export const PRUNE_FILTERS = ["label", "until"] as const;

/** Whether an ended VM is old and labelled enough to be pruned. */
export function matchesPrune(entry: Pick<FilteredVm, "record">, filters: Filters, nowMs: number): boolean {
  return passes(filters, {
    label: (value) => hasLabel(entry.record.config.labels, value),
    until: (value) => isOlder(entry.record.createdAt, value, nowMs),
  });
}

/** Whether it was made longer ago than `age`: "24h". */
function isOlder(createdAt: string, age: string, nowMs: number): boolean {
  return Date.parse(createdAt) < nowMs - parseDuration(age, "until");
}

function passes(filters: Filters, tests: Readonly<Record<string, (value: string) => boolean>>): boolean {
  for (const [key, values] of filters) {
    const test = tests[key];
    if (test === undefined || !values.some(test)) return false;
  }
  return true;
}

function hasLabel(labels: Readonly<Record<string, string>>, wanted: string): boolean {
  const cut = wanted.indexOf("=");
  if (cut < 0) return Object.hasOwn(labels, wanted);
  return labels[wanted.slice(0, cut)] === wanted.slice(cut + 1);
}

const PORT = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp))?$/;

function isPortRange(text: string): boolean {
  const [, first = "0", last = first] = PORT.exec(text) ?? [];
  return Number(first) > 0 && Number(first) <= Number(last) && Number(last) <= 65_535;
}

/** "80", "80/udp", "8000-8010": a port number alone is TCP's, as Docker has it. */
function isPort(wanted: string, port: number, protocol: string): boolean {
  const [, first = "", last = first, of = "tcp"] = PORT.exec(wanted) ?? [];
  return of === protocol && Number(first) <= port && port <= Number(last);
}

function isIdOf(id: string, wanted: string): boolean {
  return wanted.length >= 6 && id.startsWith(wanted);
}

function sameImage(id: string, wanted: string): boolean {
  return wanted.length >= 6 && (id.startsWith(wanted) || id.startsWith(`sha256:${wanted}`));
}
