// What a plugin is told: its environment and what it reads (spec, sections 2 and 4). Pure.

import { planEnvironment } from "../../base/privileges.js";
import type { JsonObject } from "../../base/versioned.js";
import { type CniNetwork, type CniPlugin, isAtLeast } from "./conflist.js";

export type CniCommand = "ADD" | "CHECK" | "DEL" | "GC" | "STATUS";

/** One card of one VM, as plugins know it. */
export interface CniAttachment {
  /** Its VM's id. */
  readonly containerId: string;
  /** "eth0": with the id it is nobody else's. */
  readonly ifName: string;
  /** Path of its namespace; "" where that is gone. */
  readonly netns: string;
  /** "" for what the plugins choose. */
  readonly mac: string;
  /** Addresses that are asked for, without a prefix. */
  readonly ips: readonly string[];
  /** By capability, for the plugins that say they have it. */
  readonly capabilities: Readonly<Record<string, unknown>>;
}

/** @param path where plugins, and those that they call, are looked for */
export function planCallEnvironment(
  command: CniCommand,
  path: readonly string[],
  attachment: CniAttachment | undefined,
): Record<string, string> {
  const call = planEnvironment({ CNI_COMMAND: command, CNI_PATH: path.join(":") });
  if (attachment === undefined) return call;
  const { containerId, ifName, netns, mac } = attachment;
  const args = ["IgnoreUnknown=1", ...(mac === "" ? [] : [`MAC=${mac}`])].join(";");
  return {
    ...{ ...call, CNI_CONTAINERID: containerId, CNI_IFNAME: ifName, CNI_ARGS: args },
    // The spec has it left out where there is none.
    ...(netns === "" ? {} : { CNI_NETNS: netns }),
  };
}

/** @param previous result of the plugin before, of what it was to add or has added */
export function planCallConfig(
  network: CniNetwork,
  plugin: CniPlugin,
  attachment: CniAttachment,
  previous: JsonObject | undefined,
): JsonObject {
  const wanted = { ...wantedAddresses(attachment), ...attachment.capabilities };
  const runtimeConfig = Object.fromEntries(
    Object.entries(wanted).filter(([key]) => plugin.capabilities.includes(key)),
  );
  return {
    ...withArgs(plugin.config, wantedAddresses(attachment)),
    ...{ name: network.name, cniVersion: network.cniVersion },
    ...(Object.keys(runtimeConfig).length === 0 ? {} : { runtimeConfig }),
    ...(previous === undefined ? {} : { prevResult: previous }),
  };
}

/** @param valid those of the network that are to stay */
export function planGcConfig(
  network: CniNetwork,
  plugin: CniPlugin,
  valid: readonly Pick<CniAttachment, "containerId" | "ifName">[],
): JsonObject {
  return {
    ...plugin.config,
    ...{ name: network.name, cniVersion: network.cniVersion },
    "cni.dev/valid-attachments": valid.map(({ containerId, ifName }) => ({
      containerID: containerId,
      ifname: ifName,
    })),
  };
}

/** Of the network as a whole, whoever is on it. */
export function planStatusConfig(network: CniNetwork, plugin: CniPlugin): JsonObject {
  return { ...plugin.config, name: network.name, cniVersion: network.cniVersion };
}

/** What there is of a verb in a version: an older plugin would take it for nonsense. */
export function hasVerb({ cniVersion, disableCheck, disableGC }: CniNetwork, command: CniCommand): boolean {
  if (command === "CHECK") return !disableCheck && isAtLeast(cniVersion, "0.4.0");
  if (command === "STATUS") return isAtLeast(cniVersion, "1.1.0");
  return command !== "GC" || (!disableGC && isAtLeast(cniVersion, "1.1.0"));
}

function wantedAddresses({ mac, ips }: CniAttachment): JsonObject {
  return { ...(ips.length === 0 ? {} : { ips: [...ips] }), ...(mac === "" ? {} : { mac }) };
}

/** The convention of plugins that have no such capability (https://www.cni.dev/docs/conventions/). */
function withArgs(config: JsonObject, cni: JsonObject): JsonObject {
  if (Object.keys(cni).length === 0) return config;
  const args = isObject(config.args) ? config.args : {};
  const before = isObject(args.cni) ? args.cni : {};
  return { ...config, args: { ...args, cni: { ...before, ...cni } } };
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
