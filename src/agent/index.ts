// The door of the agent room: the host's side of the channel.

export type { BootOrder, CardChange, GuestDns, GuestInterface, HostLine } from "./boot-order.js";
export type { DialTarget, GuestNet } from "./dial.js";
export { isAgents, isNotFound, isRefusal } from "./errors.js";
export type { ExecAnswer, ExecWord } from "./execs.js";
export type { DirectoryEntry, FileEvent, NewDirectory, PathStat } from "./files.js";
export type { GuestMount, MountSource } from "./guest-mount.js";
export { usedMemory } from "./guest-numbers.js";
export type { GuestProcess, ProcessLimit, WindowSize } from "./guest-process.js";
export { cleanLine, cleanLines } from "./guest-text.js";
export type { CallLimits } from "./limits.js";
export { type LogChunk, type LogSink, type LogSource, pumpLogs } from "./log-pump.js";
export type {
  BootAnswer,
  BootMilliseconds,
  GuestPhase,
  MachineState,
  MachineStats,
} from "./machine.js";
export type { GuestMounts, MountSummary } from "./mounts.js";
export type { ProgramEnd } from "./program-end.js";
export { openSession } from "./session.js";
export type { AgentChannel, AgentSession, DialChannel, OpenSessionOptions } from "./types.js";
export type { WorkloadCalls, WorkloadSummary } from "./workloads.js";
