// What kiln takes on disk: `kiln.df()`.

import type { DiskUsageResponseJson } from "../gen/kiln/v1/system_pb.js";
import { numberOf } from "./convert.js";
import type { CallOptions } from "./deadline.js";
import { CALL, type NamesOf } from "./known-options.js";

/** Disk taken by one kind of object. */
export interface UsageRow {
  readonly type: string;
  readonly total: number;
  readonly active: number;
  /** Blocks really taken. */
  readonly sizeBytes: number;
  readonly reclaimableBytes: number;
}

/** Disk taken, and whether all of it is owned. */
export interface DiskUsage {
  readonly rows: readonly UsageRow[];
  /** Files that no object owns. */
  readonly leaks: readonly string[];
  /** Each object by itself; empty unless they were asked for. */
  readonly items: readonly UsageItem[];
}

/** What one object takes on disk, and who has it. */
export interface UsageItem {
  /** As of a row. */
  readonly type: string;
  readonly id: string;
  /** Of a shared directory its path on the host. */
  readonly name: string;
  /** Blocks really taken; of an image its layers, which others may have too. */
  readonly sizeBytes: number;
  /** Names of the VMs that have it, whether they run or not. */
  readonly vms: readonly string[];
}

/** Options of `kiln.df()`. */
export interface DiskUsageOptions extends CallOptions {
  /** Each object by itself too. */
  readonly items?: boolean | undefined;
}

export const DISK_USAGE_OPTIONS: NamesOf<DiskUsageOptions> = { ...CALL, items: true };

/** A DiskUsageResponse message. */
export function usageFromJson(json: DiskUsageResponseJson): DiskUsage {
  return {
    rows: (json.rows ?? []).map((row) => ({
      type: row.type ?? "",
      total: row.total ?? 0,
      active: row.active ?? 0,
      sizeBytes: numberOf(row.sizeBytes),
      reclaimableBytes: numberOf(row.reclaimableBytes),
    })),
    leaks: json.leaks ?? [],
    items: (json.items ?? []).map((item) => ({
      type: item.type ?? "",
      id: item.id ?? "",
      name: item.name ?? "",
      sizeBytes: numberOf(item.sizeBytes),
      vms: item.vms ?? [],
    })),
  };
}
