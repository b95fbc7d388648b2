// Classic BPF, as seccomp(2) takes it: an assembler with labels. Eight bytes an instruction, in the machine's order
// (little endian on both architectures that kiln runs on).

export interface Instruction {
  readonly code: number;
  readonly jt: number;
  readonly jf: number;
  readonly k: number;
}

export const Op = {
  /** A = the 32-bit word at offset k of the data. */
  LoadWord: 0x20,
  JumpEqual: 0x15,
  JumpAtLeast: 0x35,
  JumpIfSet: 0x45,
  Return: 0x06,
} as const;

type JumpCode = typeof Op.JumpEqual | typeof Op.JumpAtLeast | typeof Op.JumpIfSet;

interface Draft {
  readonly code: number;
  readonly k: number;
  /** Where a jump goes whose condition holds; else it goes on. */
  readonly to?: string;
}

/** Both jump offsets are one byte. */
const MAX_JUMP = 255;

export class Assembler {
  readonly #drafts: Draft[] = [];
  readonly #labels = new Map<string, number>();

  load(offset: number): this {
    return this.#add({ code: Op.LoadWord, k: offset });
  }

  jump(code: JumpCode, k: number, to: string): this {
    return this.#add({ code, k, to });
  }

  return(k: number): this {
    return this.#add({ code: Op.Return, k });
  }

  label(name: string): this {
    this.#labels.set(name, this.#drafts.length);
    return this;
  }

  finish(): Instruction[] {
    return this.#drafts.map(({ code, k, to }, index) => ({
      code,
      jt: to === undefined ? 0 : this.#offset(to, index),
      jf: 0,
      k,
    }));
  }

  #offset(to: string, from: number): number {
    const offset = (this.#labels.get(to) ?? Number.NaN) - from - 1;
    if (!(offset >= 0 && offset <= MAX_JUMP)) throw new RangeError(`jump to ${to}: ${offset}`);
    return offset;
  }

  #add(draft: Draft): this {
    this.#drafts.push(draft);
    return this;
  }
}

/** As `struct sock_filter[]` lies in memory. */
export function encode(program: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(program.length * 8);
  for (const [index, { code, jt, jf, k }] of program.entries()) {
    bytes.writeUInt16LE(code, index * 8);
    bytes.writeUInt8(jt, index * 8 + 2);
    bytes.writeUInt8(jf, index * 8 + 3);
    bytes.writeUInt32LE(k >>> 0, index * 8 + 4);
  }
  return bytes;
}
