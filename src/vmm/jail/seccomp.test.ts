import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { encode, type Instruction, Op } from "./bpf.js";
import { AF_INET, AF_INET6, AF_UNIX, jailFilter, planFilter } from "./seccomp.js";
import { type Architecture, DENIED, JUDGED, LET_THROUGH, NEWEST, numberFor } from "./syscalls.js";

const ARCHITECTURES = [
  { architecture: "x64", audit: 0xc000003e, header: "/usr/include/x86_64-linux-gnu/asm/unistd_64.h" },
  { architecture: "arm64", audit: 0xc00000b7, header: "/usr/include/asm-generic/unistd.h" },
] as const;
/** The kernel's table from its first common number on, as Linux 7.0 has it. */
const COMMON = `
  pidfd_send_signal io_uring_setup io_uring_enter io_uring_register open_tree move_mount fsopen fsconfig fsmount fspick
  pidfd_open clone3 close_range openat2 pidfd_getfd faccessat2 process_madvise epoll_pwait2 mount_setattr quotactl_fd
  landlock_create_ruleset landlock_add_rule landlock_restrict_self memfd_secret process_mrelease futex_waitv
  set_mempolicy_home_node cachestat fchmodat2 map_shadow_stack futex_wake futex_wait futex_requeue statmount listmount
  lsm_get_self_attr lsm_set_self_attr lsm_list_modules mseal setxattrat getxattrat listxattrat removexattrat
  open_tree_attr file_getattr file_setattr listns rseq_slice_yield`
  .trim()
  .split(/\s+/)
  .map((name, index) => ({ name, number: 424 + index }));
const ALLOW = "allow";
const EPERM = "errno 1";
const ENOSYS = "errno 38";
const EAFNOSUPPORT = "errno 97";

/** What the kernel would do: a BPF machine with the five instructions that the filter has. */
function judge(program: readonly Instruction[], audit: number, nr: number, ...args: number[]): string {
  const data = Buffer.alloc(64);
  data.writeUInt32LE(nr >>> 0, 0);
  data.writeUInt32LE(audit >>> 0, 4);
  for (const [index, value] of args.entries()) data.writeBigUInt64LE(BigInt(value), 16 + 8 * index);
  let a = 0;
  for (let at = 0; ; at++) {
    const { code, jt, jf, k } = program[at] ?? assert.fail(`no instruction ${at}`);
    if (code === Op.LoadWord) a = data.readUInt32LE(k);
    else if (code === Op.JumpEqual) at += a === k >>> 0 ? jt : jf;
    else if (code === Op.JumpAtLeast) at += a >= k >>> 0 ? jt : jf;
    else if (code === Op.JumpIfSet) at += (a & k) !== 0 ? jt : jf;
    else return verdictOf(k >>> 0);
  }
}

function verdictOf(value: number): string {
  if (value === 0x7fff0000) return ALLOW;
  if (value === 0x80000000) return "kill";
  return `errno ${value & 0xffff}`;
}

for (const { architecture, audit, header } of ARCHITECTURES) {
  describe(`the jail's filter on ${architecture}`, () => {
    const program = planFilter({ architecture, families: [AF_UNIX] });
    const ask = (nr: number, ...args: number[]) => judge(program, audit, nr, ...args);
    const nr = (name: keyof typeof JUDGED) => numberFor(JUDGED[name], architecture);

    it("refuses every call of the list, whatever its arguments", () => {
      for (const [name, numbers] of Object.entries(DENIED)) {
        const number = numberFor(numbers, architecture);
        if (number >= 0) assert.equal(ask(number, 1, 2, 3), EPERM, name);
      }
    });

    it("lets threads be made, but no namespace, and hides clone3", () => {
      assert.equal(ask(nr("clone"), 0x3d0f00), ALLOW);
      for (const flag of [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000]) {
        assert.equal(ask(nr("clone"), flag | 0x11), EPERM, flag.toString(16));
      }
      assert.equal(ask(nr("clone3"), 0), ENOSYS);
    });

    it("lets unix sockets be made and no others", () => {
      for (const name of ["socket", "socketpair"] as const) {
        assert.equal(ask(nr(name), AF_UNIX, 1), ALLOW);
        for (const family of [AF_INET, AF_INET6, 16, 17, 40]) {
          assert.equal(ask(nr(name), family, 1), EAFNOSUPPORT, `${name} ${family}`);
        }
      }
      const wider = planFilter({ architecture, families: [AF_UNIX, AF_INET, AF_INET6] });
      assert.equal(judge(wider, audit, nr("socket"), AF_INET6, 1), ALLOW);
      assert.equal(judge(wider, audit, nr("socket"), 40, 1), EAFNOSUPPORT);
    });

    it("lets no file become set-user-id", () => {
      assert.equal(ask(nr("fchmod"), 3, 0o600), ALLOW);
      assert.equal(ask(nr("fchmod"), 3, 0o4755), EPERM);
      assert.equal(ask(nr("fchmodat"), 3, 4, 0o2755), EPERM);
      assert.equal(ask(nr("fchmodat2"), 3, 4, 0o6755), EPERM);
    });

    it("lets the calls of a VMM through", () => {
      // read, write, mmap, ioctl, futex, execve by x86_64's and aarch64's numbers
      const common = { x64: [0, 1, 9, 16, 202, 59], arm64: [63, 64, 222, 29, 98, 221] }[architecture];
      for (const number of common) assert.equal(ask(number), ALLOW, String(number));
    });

    it("kills what calls by another architecture's table", () => {
      for (const other of [0x40000003, 0x40000028, ...ARCHITECTURES.map((one) => one.audit)]) {
        if (other !== audit) assert.equal(judge(program, other, 0), "kill");
      }
    });

    it("has judged every call of the kernel's table, and knows each by its number", () => {
      assert.equal(COMMON.at(-1)?.number, NEWEST);
      for (const { name, number } of COMMON) {
        const judged: Partial<Record<string, readonly [number, number]>> = { ...DENIED, ...JUDGED };
        const numbers = judged[name];
        const through = (LET_THROUGH as Partial<Record<string, number>>)[name];
        assert.ok((numbers === undefined) !== (through === undefined), `${name} is in one list`);
        assert.equal(numbers === undefined ? through : numberFor(numbers, architecture), number, name);
        if (through !== undefined) assert.equal(ask(number), ALLOW, name);
        else if (name in DENIED) assert.equal(ask(number), EPERM, name);
      }
      const listed = [...Object.values(DENIED), ...Object.values(JUDGED)].filter(([, two]) => two >= 424);
      assert.equal(listed.length + Object.keys(LET_THROUGH).length, COMMON.length);
    });

    it("has no call that is newer than the table, nor one in its gap", () => {
      for (const number of [NEWEST + 1, 500, 1_000_000, 337, 400, 423]) {
        assert.equal(ask(number), ENOSYS, String(number));
      }
    });

    it("has the numbers of the kernel's own table", {
      skip: !existsSync(header) && `this host has no ${header} (Debian package linux-libc-dev)`,
    }, () => {
      const text = readFileSync(header, "utf8");
      const known = new Map<string, number>();
      for (const [, name = "", number] of text.matchAll(/#define __NR(?:3264)?_(\w+)\s+(\d+)/g)) {
        known.set(name, Number(number));
      }
      let compared = 0;
      for (const [name, numbers] of [...Object.entries(DENIED), ...Object.entries(JUDGED)]) {
        const expected = known.get(name);
        if (expected === undefined) continue;
        assert.equal(numberFor(numbers, architecture), expected, name);
        compared++;
      }
      for (const { name, number } of COMMON) assert.equal(known.get(name) ?? number, number, name);
      assert.ok(compared > 60, `${compared} compared`);
    });
  });
}

describe("the jail's filter", () => {
  it("refuses x86's second ABI", () => {
    const program = planFilter({ architecture: "x64", families: [AF_UNIX] });
    assert.equal(judge(program, 0xc000003e, 0x40000000 | 1), EPERM);
  });

  it("is encoded as struct sock_filter", () => {
    const [first] = planFilter({ architecture: "x64", families: [AF_UNIX] });
    assert.deepEqual([...encode([first ?? assert.fail()])], [0x20, 0, 0, 0, 4, 0, 0, 0]);
    const filters: Architecture[] = ["x64", "arm64"];
    for (const architecture of filters) {
      assert.equal(jailFilter({ architecture, families: [AF_UNIX] }).length % 8, 0);
    }
  });
});
