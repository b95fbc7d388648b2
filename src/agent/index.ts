// The door of the agent room: the host's side of the channel.

export { type DialTarget, dialGuest } from "./dial.js";
export type { ExecAnswer, ExecWord } from "./execs.js";
export type { DirectoryEntry, FileEvent, NewDirectory, PathStat } from "./files.js";
export { type LogChunk, type LogSink, type LogSource, pumpLogs } from "./log-pump.js";
export type { MachineStats } from "./machine.js";
export { openSession } from "./session.js";
export type { AgentSession, DialChannel, OpenSessionOptions } from "./types.js";
