// One object in memory: its record, its status, its lock, and those who wait for a change. Whatever changes passes here,
// so that memory, disk and those who wait never disagree.

import { Code, KilnError } from "../../base/errors.js";
import { notFound, shortId } from "../../base/ids.js";
import type { KeyedLock } from "../../base/lock.js";
import { Notifier } from "../common/notifier.js";

/** Where entries of a kind are written; an ObjectStore is one. */
export interface EntryFiles<R, S> {
  saveRecord(id: string, record: R): Promise<void>;
  saveStatus(id: string, status: S, durable: boolean): Promise<void>;
}

/** What all entries of a kind have in common. */
export interface EntryKind<R, S> {
  /** For messages: "VM". */
  readonly noun: string;
  /** For hints: "vm.json". */
  readonly recordFile: string;
  readonly files: EntryFiles<R, S>;
  /** By id. */
  readonly lock: KeyedLock;
  readonly nameOf: (record: R) => string;
}

export interface EntryState<R, S> {
  readonly id: string;
  readonly record: R;
  readonly status: S;
  /** What of its record is lost or not understood: it is managed, but nothing that needs the record is done. */
  readonly recordFlaw?: string | undefined;
}

/** Facts that a status may be without. */
export type Forgettable<S> = {
  [K in keyof S]-?: Record<never, never> extends Pick<S, K> ? K : never;
}[keyof S];

export class Entry<R, S extends object> {
  readonly id: string;
  readonly recordFlaw: string | undefined;
  /** Wakes at every change, and at its removal. */
  readonly changed = new Notifier();
  /** Its removal has begun: nothing is written any more. */
  removing = false;
  /** Its files are gone. */
  removed = false;
  readonly #kind: EntryKind<R, S>;
  #record: R;
  #status: S;
  #writes: Promise<void> = Promise.resolve();

  constructor(kind: EntryKind<R, S>, { id, record, status, recordFlaw }: EntryState<R, S>) {
    this.#kind = kind;
    this.id = id;
    this.#record = record;
    this.#status = status;
    this.recordFlaw = recordFlaw;
  }

  get name(): string {
    return this.#kind.nameOf(this.#record);
  }

  get shortId(): string {
    return shortId(this.id);
  }

  get record(): R {
    return this.#record;
  }

  get status(): S {
    return this.#status;
  }

  /** One after the other for this object, beside those of all others. */
  locked<T>(body: () => Promise<T>): Promise<T> {
    return this.#kind.lock.run(this.id, body);
  }

  /**
   * Changes what was asked; on disk when it resolves. Where it can't be written, the record is what it was.
   *
   * @throws KilnError failed_precondition `record-damaged`: what can't be read is not written over; not_found
   * `<noun>-not-found`: what was asked of one that is gone was not done
   */
  async setRecord(record: R): Promise<void> {
    this.requireHere();
    this.requireRecord("change");
    const before = this.#record;
    this.#record = record;
    this.changed.notify();
    try {
      await this.#write(() => this.#kind.files.saveRecord(this.id, record));
    } catch (error) {
      // Unless another change has been made upon it.
      if (this.#record === record) this.#record = before;
      this.changed.notify();
      throw error;
    }
  }

  /**
   * Refuses what needs all of the record.
   *
   * @param verb for the message: "start"
   * @throws KilnError failed_precondition `record-damaged`
   */
  requireRecord(verb: string): void {
    if (this.recordFlaw === undefined) return;
    const { noun, recordFile } = this.#kind;
    throw new KilnError(Code.FailedPrecondition, `cannot ${verb} ${noun} ${this.name}: ${this.recordFlaw}`, {
      reason: "record-damaged",
      hint: `its data is as it was: repair ${recordFile} in its directory and restart kilnd, use the kiln that wrote it, or remove the ${noun}`,
    });
  }

  /**
   * For who had to wait for the lock: somebody may have removed it meanwhile.
   *
   * @throws KilnError not_found `<noun>-not-found`
   */
  requireHere(): void {
    if (this.removing) throw notFound(this.#kind.noun, this.name);
  }

  /**
   * Takes it away: nothing is written of it any more, and it is there as it was where it could not be moved away.
   *
   * @param take calls back once it is gone, whatever of its files is left
   * @param tell of its end, where it is gone
   * @throws KilnError as `take`
   */
  async leave(take: (gone: () => void) => Promise<void>, tell: () => void): Promise<void> {
    await this.settled();
    this.removing = true;
    let gone = false;
    try {
      await take(() => {
        gone = true;
      });
    } catch (error) {
      throw KilnError.from(error, `remove ${this.#kind.noun} ${this.name}`);
    } finally {
      if (gone) {
        this.removed = true;
        this.changed.notify();
        tell();
      } else this.removing = false;
    }
  }

  /** Writes facts down; resolves once they are on disk. @param durable true where a power cut must not forget them */
  note(facts: Partial<S>, durable = false): Promise<void> {
    return this.save({ ...this.#status, ...facts }, durable);
  }

  /** Forgets facts. */
  forget(...keys: readonly Forgettable<S>[]): Promise<void> {
    const next = { ...this.#status };
    for (const key of keys) delete next[key];
    return this.save(next, false);
  }

  /** Resolves when everything that was changed so far is on disk. */
  settled(): Promise<void> {
    return this.#writes;
  }

  /** Memory first, so that nobody sees an old status after a new one; the writes follow in order. */
  protected save(next: S, durable: boolean): Promise<void> {
    this.#status = next;
    this.changed.notify();
    return this.#write(() => this.#kind.files.saveStatus(this.id, next, durable));
  }

  #write(body: () => Promise<void>): Promise<void> {
    const write = this.#writes.then(() => (this.removing ? undefined : body()));
    this.#writes = write.catch(() => undefined);
    return write;
  }
}
