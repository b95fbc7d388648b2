// What is to run in a guest.

import type { MessageInitShape } from "@bufbuild/protobuf";
import { defined } from "../base/defined.js";
import type { ProcessSpecSchema } from "../gen/kiln/agent/v1/common_pb.js";

export interface WindowSize {
  readonly columns: number;
  readonly rows: number;
}

/** A limit of setrlimit(2). */
export interface ProcessLimit {
  /** "nofile" or "RLIMIT_NOFILE" */
  readonly name: string;
  /** In the limit's own unit; Infinity: none. */
  readonly soft: number;
  readonly hard: number;
}

/** A program to be started. */
export interface GuestProcess {
  /** The first is looked up in the PATH of `env`. */
  readonly args: readonly string[];
  /** "K=V" */
  readonly env?: readonly string[];
  /** As OCI has it: user, uid, user:group, uid:gid; empty: root. */
  readonly user?: string;
  /** Empty: "/". */
  readonly workdir?: string;
  readonly tty?: boolean;
  readonly window?: WindowSize | undefined;
  /** False: /dev/null. */
  readonly stdin?: boolean;
  /** Of an exec: nobody attends it. */
  readonly detach?: boolean;
  /** Of an exec: the caller's own name for it, 16 to 64 bytes. A second start with it attaches. */
  readonly id?: string;
  readonly rlimits?: readonly ProcessLimit[];
}

/** RLIM_INFINITY */
const NO_LIMIT = 2n ** 64n - 1n;

export function processSpec(process: GuestProcess): MessageInitShape<typeof ProcessSpecSchema> {
  const { args, env = [], window, rlimits = [], ...rest } = process;
  const limits = rlimits.map(({ name, soft, hard }) => ({ name, soft: limitOf(soft), hard: limitOf(hard) }));
  return { ...rest, args: [...args], env: [...env], rlimits: limits, ...defined({ window }) };
}

const limitOf = (value: number) => (value === Number.POSITIVE_INFINITY ? NO_LIMIT : BigInt(value));
