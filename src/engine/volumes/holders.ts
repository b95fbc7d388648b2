// Which VMs have a volume open at this moment: one that writes, or any number that only read. A file system that
// somebody writes to is garbage to whoever reads it at the same time. In memory alone: the next kilnd knows it of the VMs
// that it takes over.

import { Code, KilnError } from "../../base/errors.js";

/** A VM that has a volume open. */
export interface Holder {
  /** Id of the VM. */
  readonly vm: string;
  readonly name: string;
  readonly readOnly: boolean;
}

export class VolumeHolders {
  /** By volume's id. */
  readonly #holders = new Map<string, Set<Holder>>();

  /**
   * @param what for the refusal: "volume data"
   * @returns what gives it back; calling it again does nothing
   * @throws KilnError failed_precondition `volume-busy`
   */
  take(id: string, what: string, holder: Holder): () => void {
    const holders = this.#holders.get(id) ?? new Set();
    const other = [...holders].find(({ readOnly }) => !readOnly || !holder.readOnly);
    if (other !== undefined) throw busy(what, holder, other);
    return this.#add(id, holders, holder);
  }

  /** For a VM that has it open already, whoever else does: what is so can't be refused. */
  adopt(id: string, holder: Holder): () => void {
    return this.#add(id, this.#holders.get(id) ?? new Set(), holder);
  }

  writer(id: string): Holder | undefined {
    return this.of(id).find(({ readOnly }) => !readOnly);
  }

  of(id: string): Holder[] {
    return [...(this.#holders.get(id) ?? [])];
  }

  #add(id: string, holders: Set<Holder>, holder: Holder): () => void {
    // The same VM may have it twice: each is given back by itself.
    const held = { ...holder };
    holders.add(held);
    this.#holders.set(id, holders);
    return () => {
      holders.delete(held);
      if (holders.size === 0 && this.#holders.get(id) === holders) this.#holders.delete(id);
    };
  }
}

function busy(what: string, { name, readOnly }: Holder, other: Holder): KilnError {
  const why = other.readOnly ? "is reading it" : "has it writable";
  return new KilnError(
    Code.FailedPrecondition,
    `VM ${name} can't have ${what} ${readOnly ? "to read" : "writable"}: VM ${other.name} ${why}`,
    {
      reason: "volume-busy",
      hint: readOnly
        ? `stop VM ${other.name} first: a file system that is written to can't be read elsewhere meanwhile`
        : `stop VM ${other.name} first, or mount it with :ro in both`,
      details: { vm: other.vm, vmName: other.name },
    },
  );
}
