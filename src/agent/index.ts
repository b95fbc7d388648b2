// The door of the agent room: the host's side of the channel.

export { type DialTarget, dialGuest } from "./dial.js";
export { fromAgent, isNotFound, isRefusal } from "./errors.js";
export type { ExecAnswer, ExecWord } from "./execs.js";
export type { DirectoryEntry, FileEvent, NewDirectory, PathStat } from "./files.js";
export {
  boundedCount,
  boundedExitCode,
  boundedMilliseconds,
  boundedProcesses,
  usedMemory,
} from "./guest-numbers.js";
export { cleanLine, cleanLines, explainNotStarted } from "./guest-text.js";
export { type LogChunk, type LogSink, type LogSource, pumpLogs } from "./log-pump.js";
export type { MachineStats } from "./machine.js";
export { openSession } from "./session.js";
export type { AgentSession, DialChannel, OpenSessionOptions } from "./types.js";
