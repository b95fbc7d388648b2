// The filter of system calls that every jailed VMM runs under, beside the VMM's own: a list of what is refused, so that
// it fits every VMM and version. execve stays: it is loaded before the VMM is executed.

import { Assembler, encode, type Instruction, Op } from "./bpf.js";
import {
  type Architecture,
  DENIED,
  FIRST_COMMON,
  FIRST_UNASSIGNED,
  JUDGED,
  NEWEST,
  numberFor,
} from "./syscalls.js";

/** AUDIT_ARCH_* of linux/audit.h. */
const AUDIT_ARCH: Readonly<Record<Architecture, number>> = { x64: 0xc000003e, arm64: 0xc00000b7 };
/** x86_64 kernels know a second ABI with numbers from here on. */
const X32_BIT = 0x40000000;

const RETURN_ALLOW = 0x7fff0000;
const RETURN_KILL_PROCESS = 0x80000000;
const RETURN_ERRNO = 0x00050000;
const EPERM = 1;
const ENOSYS = 38;
const EAFNOSUPPORT = 97;

/** struct seccomp_data: nr, arch, instruction pointer, six arguments of 64 bits, the low word first. */
const NR = 0;
const ARCH = 4;
const argument = (index: number) => 16 + 8 * index;

/** CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID, NET. */
const CLONE_NAMESPACES = 0x7e020000;
const S_ISUID_ISGID = 0o6000;

export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;

export interface FilterOptions {
  readonly architecture: Architecture;
  /** Address families that a socket may have. */
  readonly families: readonly number[];
}

/** @returns the bytes that `bwrap --add-seccomp-fd` reads */
export function jailFilter(options: FilterOptions): Buffer {
  return encode(planFilter(options));
}

export function planFilter({ architecture, families }: FilterOptions): Instruction[] {
  const nr = (name: keyof typeof JUDGED) => numberFor(JUDGED[name], architecture);
  const code = new Assembler();
  code.load(ARCH).jump(Op.JumpEqual, AUDIT_ARCH[architecture], "native").return(RETURN_KILL_PROCESS);
  code.label("native").load(NR);
  if (architecture === "x64") code.jump(Op.JumpAtLeast, X32_BIT, "eperm");
  code.jump(Op.JumpAtLeast, NEWEST + 1, "enosys").jump(Op.JumpAtLeast, FIRST_COMMON, "known");
  code.jump(Op.JumpAtLeast, FIRST_UNASSIGNED[architecture], "enosys").label("known");
  for (const numbers of Object.values(DENIED)) when(code, numberFor(numbers, architecture), "eperm");
  // Its flags lie in memory, where a filter can't look: libraries fall back to clone.
  when(code, nr("clone3"), "enosys");
  when(code, nr("clone"), "clone");
  for (const name of ["socket", "socketpair"] as const) when(code, nr(name), "socket");
  for (const name of ["chmod", "fchmod"] as const) when(code, nr(name), "mode-1");
  for (const name of ["fchmodat", "fchmodat2"] as const) when(code, nr(name), "mode-2");
  code.return(RETURN_ALLOW);
  code.label("clone").load(argument(0)).jump(Op.JumpIfSet, CLONE_NAMESPACES, "eperm").return(RETURN_ALLOW);
  code.label("mode-1").load(argument(1)).jump(Op.JumpIfSet, S_ISUID_ISGID, "eperm").return(RETURN_ALLOW);
  code.label("mode-2").load(argument(2)).jump(Op.JumpIfSet, S_ISUID_ISGID, "eperm").return(RETURN_ALLOW);
  code.label("socket").load(argument(0));
  for (const family of families) code.jump(Op.JumpEqual, family, "allow");
  code.return(RETURN_ERRNO | EAFNOSUPPORT);
  code.label("allow").return(RETURN_ALLOW);
  code.label("enosys").return(RETURN_ERRNO | ENOSYS);
  code.label("eperm").return(RETURN_ERRNO | EPERM);
  return code.finish();
}

function when(code: Assembler, number: number, to: string): void {
  if (number >= 0) code.jump(Op.JumpEqual, number, to);
}
