// What VMs use, sampled.

import type { VmStatsJson } from "../gen/kiln/v1/vm_pb.js";
import { dateOf, numberOf } from "./convert.js";
import type { CallOptions } from "./deadline.js";
import { CALL, checkOptions, type NamesOf } from "./known-options.js";
import { lastingAnswers } from "./lasting-answers.js";
import type { Calls } from "./scoped-calls.js";
import type { VmStats } from "./types.js";

/** Options of `vm.stats()` and `kiln.vms.stats()`. */
export interface StatsOptions extends CallOptions {
  /** One sample instead of one a second. */
  readonly once?: boolean | undefined;
}

const STATS_OPTIONS: NamesOf<StatsOptions> = { ...CALL, once: true };

/** What the VMs used at one moment. */
export interface StatsSample {
  readonly time: Date;
  readonly stats: readonly VmStats[];
}

/** @param vms ids or names; none: all that run */
export async function* readStats(
  transport: Calls,
  vms: readonly string[],
  options: StatsOptions,
): AsyncGenerator<StatsSample, void> {
  checkOptions("stats()", options, STATS_OPTIONS);
  const request = { vms: vms.slice(), once: options.once ?? false };
  const ask = (bound: CallOptions) => transport.serverStream("VmService/Stats", request, bound);
  for await (const json of lastingAnswers({ what: "Stats", ask }, options)) {
    yield { time: dateOf(json.time) ?? new Date(0), stats: (json.stats ?? []).map(statsFromJson) };
  }
}

function statsFromJson(json: VmStatsJson): VmStats {
  return {
    id: json.id ?? "",
    name: json.name ?? "",
    cpuPercent: numberOf(json.cpuPercent),
    memoryBytes: numberOf(json.memoryBytes),
    memoryLimitBytes: numberOf(json.memoryLimitBytes),
    rssBytes: numberOf(json.rssBytes),
    netRxBytes: numberOf(json.netRxBytes),
    netTxBytes: numberOf(json.netTxBytes),
    blockReadBytes: numberOf(json.blockReadBytes),
    blockWriteBytes: numberOf(json.blockWriteBytes),
    processes: json.processes ?? 0,
    egressDenied: numberOf(json.egressDenied),
  };
}
