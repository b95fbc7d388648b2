// What kilnd knows of a program that was started to be left alone: the API's Exec, every field there.

import type { ExecJson, ExecStatusJson } from "../gen/kiln/v1/process_pb.js";
import { dateOf } from "./convert.js";
import type { RestartPolicy } from "./types.js";

/** restarting: it has ended, and its policy brings it back. exited: for good. */
export type ProcessState = "unspecified" | "starting" | "running" | "restarting" | "exited";

/** What was asked of it. */
export interface ProcessConfig {
  readonly args: readonly string[];
  /** Added to the VM's own: "K=V"; "K" takes the VM's away. */
  readonly env: readonly string[];
  /** "": the VM's own. */
  readonly user: string;
  /** "": the VM's own. */
  readonly workdir: string;
  readonly tty: boolean;
  readonly restart: RestartPolicy;
}

/** What has become of it. */
export interface ProcessStatus {
  readonly state: ProcessState;
  /** Its own; 128 + signal; 125 where it is not known, 137 where its VM has ended. */
  readonly exitCode: number;
  /** Stable word: "program-exited", "program-not-started", "vm-ended", "lost"; "" while it runs. */
  readonly reason: string;
  /** For people. */
  readonly message: string;
  /** Of its last run. */
  readonly startedAt: Date | undefined;
  readonly finishedAt: Date | undefined;
  /** In the guest; 0 where it does not run. */
  readonly pid: number;
  readonly restartCount: number;
  readonly oomKilled: boolean;
}

/** A program beside the VM's own, as kilnd knows it. */
export interface ProcessInfo {
  /** 32 hex characters. */
  readonly id: string;
  /** The full id of its VM. */
  readonly vm: string;
  readonly createdAt: Date;
  readonly config: ProcessConfig;
  readonly status: ProcessStatus;
}

/** An Exec message. */
export function processFromJson(json: ExecJson = {}): ProcessInfo {
  const { config = {} } = json;
  return {
    id: json.id ?? "",
    vm: json.vm ?? "",
    createdAt: dateOf(json.createdAt) ?? new Date(0),
    config: {
      args: config.args ?? [],
      env: config.env ?? [],
      user: config.user ?? "",
      workdir: config.workdir ?? "",
      tty: config.tty ?? false,
      restart: {
        name: (config.restart?.name || "no") as RestartPolicy["name"],
        maximumRetryCount: config.restart?.maximumRetryCount ?? 0,
      },
    },
    status: processStatusFromJson(json.status),
  };
}

/** An ExecStatus message. */
export function processStatusFromJson(json: ExecStatusJson = {}): ProcessStatus {
  const state = (json.state ?? "").replace(/^EXEC_STATE_/, "").toLowerCase();
  return {
    state: state === "" ? "unspecified" : (state as ProcessState),
    exitCode: json.exitCode ?? 0,
    reason: json.reason ?? "",
    message: json.message ?? "",
    startedAt: dateOf(json.startedAt),
    finishedAt: dateOf(json.finishedAt),
    pid: json.pid ?? 0,
    restartCount: json.restartCount ?? 0,
    oomKilled: json.oomKilled ?? false,
  };
}
