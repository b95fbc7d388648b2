// From kilnd's settings to the engine's.

import { parseDuration, parseSize } from "../base/units.js";
import {
  defaultSettings,
  type EngineSettings,
  parseNetworkPools,
  type RoomOptions,
} from "../engine/index.js";
import type { Config } from "./config.js";
import { parseCount, type SettingName } from "./settings-table.js";

/** What was set; undefined for a default. */
export function settingOf(config: Config, name: SettingName): string | undefined {
  const setting = config.get(name);
  return setting === undefined || setting.origin === "default" ? undefined : setting.value;
}

export function toEngineSettings(config: Config, cpus: number): EngineSettings {
  const size = (name: SettingName) => convert(config, name, (text) => parseSize(text, name));
  const time = (name: SettingName) => convert(config, name, (text) => parseDuration(text, name));
  const count = (name: SettingName) => convert(config, name, (text) => parseCount(name, text));
  const defaults = defaultSettings(cpus);
  return {
    ...defaults,
    vmm: settingOf(config, "vmm") ?? "",
    diskReserveBytes: size("disk.reserve") ?? defaults.diskReserveBytes,
    memoryReserveBytes: size("memory.reserve") ?? defaults.memoryReserveBytes,
    concurrentBoots: count("boot.concurrent") ?? defaults.concurrentBoots,
    helloTimeoutMs: both(time("boot.hello-timeout")) ?? defaults.helloTimeoutMs,
    silenceTimeoutMs: both(time("boot.silence-timeout")) ?? defaults.silenceTimeoutMs,
    networkPools: convert(config, "network-pool", parseNetworkPools) ?? defaults.networkPools,
    egress: settingOf(config, "egress") ?? defaults.egress,
    logLimits: {
      segmentBytes: size("output.segment") ?? defaults.logLimits.segmentBytes,
      keepBytes: size("output.keep") ?? defaults.logLimits.keepBytes,
    },
    execLogLimits: execLogLimits(size("output.exec-keep")) ?? defaults.execLogLimits,
    buildLimits: defined({
      maxLayerBytes: size("layers.max-layer"),
      maxImageBytes: size("layers.max-image"),
      maxRatio: count("layers.max-ratio"),
      ratioFreeBytes: size("layers.ratio-free"),
      maxEntries: count("layers.max-entries"),
      maxMetadataBytes: size("layers.max-metadata"),
    }),
  };
}

/**
 * The image room's limits that were set.
 *
 * @param diskReserveBytes the engine's: what stays free before a pull stays free after it
 */
export function toPullLimits(config: Config, diskReserveBytes: number): RoomOptions["pullLimits"] {
  const time = (name: SettingName) => convert(config, name, (text) => parseDuration(text, name));
  const count = (name: SettingName) => convert(config, name, (text) => parseCount(name, text));
  return defined({
    answerMs: time("pull.answer-timeout"),
    stallMs: time("pull.stall-timeout"),
    attempts: count("pull.attempts"),
    concurrentLayers: count("pull.concurrent-layers"),
    diskReserveBytes,
  });
}

/** In files of a quarter, as by default: of what is given up only so much goes at a time. */
function execLogLimits(keepBytes: number | undefined): EngineSettings["execLogLimits"] | undefined {
  return keepBytes === undefined
    ? undefined
    : { keepBytes, segmentBytes: Math.max(1, Math.floor(keepBytes / 4)) };
}

function convert<T>(config: Config, name: SettingName, parse: (text: string) => T): T | undefined {
  const value = settingOf(config, name);
  return value === undefined ? undefined : parse(value);
}

function both(ms: number | undefined): { kvm: number; tcg: number } | undefined {
  return ms === undefined ? undefined : { kvm: ms, tcg: ms };
}

function defined<T extends Record<string, number | undefined>>(values: T): { [K in keyof T]?: number } {
  const entries = Object.entries(values).filter((entry) => entry[1] !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: number };
}
