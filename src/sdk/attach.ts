// A VM's main program: its output, its stdin, its end.

import { randomBytes } from "node:crypto";
import { defined } from "../base/defined.js";
import type { AttachExitJson, AttachRequestJson, AttachResponseJson } from "../gen/kiln/v1/process_pb.js";
import { statusFromJson, vmFromJson } from "./convert.js";
import type { CallOptions } from "./deadline.js";
import { CALL, type NamesOf } from "./known-options.js";
import type { LastingWords } from "./lasting-stream.js";
import { type ProcessEvent, ProcessStream, type ProcessWire } from "./process-stream.js";
import type { VmInfo, VmStatus } from "./types.js";

/** Options of `vm.attach()`. */
export interface AttachOptions extends CallOptions {
  /** Sends what is written to the program. The VM must have been made with `openStdin`. */
  readonly stdin?: boolean | undefined;
  /** First gives what the program wrote before. */
  readonly logs?: boolean | undefined;
  /** Starts the VM once attached, so that no output is missed. */
  readonly start?: boolean | undefined;
}

export const ATTACH_OPTIONS: NamesOf<AttachOptions> = { ...CALL, stdin: true, logs: true, start: true };

/** How the main program ended. */
export interface AttachExit {
  readonly exitCode: number;
  readonly status: VmStatus;
}

/**
 * A VM's main program. Iterate it for output; closing it, or leaving the loop, detaches: the program goes on.
 *
 * ```ts
 * await using program = vm.attach({ logs: true });
 * for await (const { data } of program) process.stdout.write(data);
 * console.log((await program.exit()).exitCode);
 * ```
 */
export class Attachment extends ProcessStream<AttachResponseJson, VmInfo, AttachExit> {
  constructor(wire: ProcessWire<AttachResponseJson>) {
    super(wire, decodeAttach);
  }

  /** The VM, once kilnd has attached us. */
  attached(): Promise<VmInfo> {
    return this.started();
  }

  /** How the program ended; output that nobody reads is dropped. */
  exit(): Promise<AttachExit> {
    return this.ended();
  }
}

/** The call of an attach, as it starts and as it goes on. */
export function attachWords(
  vm: string,
  options: AttachOptions,
): LastingWords<AttachRequestJson, AttachResponseJson> {
  const { stdin = false, logs = false, start = false } = options;
  const id = randomBytes(16).toString("hex");
  let full: string | undefined; // the id that kilnd says: a name may be another VM's by then
  const first = { start: { vm, stdin, logs, start, id } };
  return {
    start: first,
    resume: (place) => {
      if (full === undefined && start) return first; // it says so before it does anything
      return { resume: defined({ vm: full ?? vm, id, stdin, start, after: place }) };
    },
    isUnknown: () => false,
    ack: undefined,
    news: ({ attached, starting, resumable, output, stdinTaken, stalled }) => {
      full = attached?.id ?? full;
      return {
        ...(resumable === undefined ? {} : { resumable: true, stdinNext: resumable.stdinNext ?? "0" }),
        stdinUnwanted: resumable?.stdinUnwanted,
        place: output?.next ?? resumable?.next ?? starting,
        bytes: output?.data?.length ?? 0,
        stdinTaken,
        stalled,
      };
    },
  };
}

function decodeAttach(message: AttachResponseJson): ProcessEvent<VmInfo, AttachExit> {
  if (message.stalled !== undefined) return { kind: "stalled", message: message.stalled.message ?? "" };
  if (message.output !== undefined) return { kind: "output", output: message.output };
  if (message.attached !== undefined) return { kind: "started", started: vmFromJson(message.attached) };
  if (message.exit === undefined) return { kind: "unknown" };
  return { kind: "exit", exit: exitFromJson(message.exit) };
}

function exitFromJson({ code = 0, status }: AttachExitJson): AttachExit {
  return { exitCode: code, status: statusFromJson(status) };
}

/** The exit as agent/front keeps it. Loads the protobuf runtime, which nothing else here needs. */
export async function attachExitFromBinary(bytes: Uint8Array): Promise<AttachExit> {
  const { fromBinary, toJson } = await import("@bufbuild/protobuf");
  const { AttachExitSchema } = await import("../gen/kiln/v1/process_pb.js");
  return exitFromJson(toJson(AttachExitSchema, fromBinary(AttachExitSchema, bytes)));
}
