// All that is attached to one VM in one run of it: acquired in order, each release known before the next one is acquired, and
// released in reverse, each exactly once whatever fails.

import { Code, KilnError } from "../../base/errors.js";
import { UndoStack } from "../../base/undo.js";
import type { CardSpec, PortSpec } from "../../vmm/types.js";
import { type DiskSet, planDisks } from "../disks/disk-set.js";
import type { GuestPart } from "../vm/boot-plan.js";
import type {
  Attachment,
  AttachmentAt,
  GuestFacts,
  GuestNetwork,
  Moment,
  Moments,
  PlanFacts,
} from "./types.js";

/** What a VMM is given of all attachments. */
export interface PlannedSet {
  readonly disks: DiskSet;
  readonly cards: readonly CardSpec[];
  readonly ports: readonly PortSpec[];
}

/** Told what could not be done with which attachment. May throw. */
export type Refused = (what: string, error: KilnError) => void;

export class AttachmentSet {
  readonly #all: Attachment[];
  /** Acquired or adopted, the newest last. */
  readonly #held: Attachment[] = [];
  readonly #tell: Refused;
  /** The first that could not be adopted. */
  #refusal: KilnError | undefined;
  /** How all is let go of, once the run is over. */
  #ending: ((attachment: Attachment) => Promise<void>) | undefined;

  /** @param tell of a release that failed: the others go on */
  constructor(attachments: readonly Attachment[], tell: Refused) {
    this.#all = [...attachments];
    this.#tell = tell;
  }

  /** Those that are held. */
  get held(): readonly Attachment[] {
    return this.#held;
  }

  /** Pure. @throws KilnError internal where nothing says what the VM boots from */
  plan(facts: PlanFacts): PlannedSet {
    const parts = this.#all.map((attachment) => attachment.plan(facts));
    const [boot, ...others] = parts.flatMap((part) => part.boot ?? []);
    if (boot === undefined || others.length > 0) throw noBoot();
    return {
      disks: planDisks(
        boot,
        parts.flatMap(({ disks = [] }) => disks),
      ),
      cards: parts.flatMap(({ cards = [] }) => cards),
      ports: parts.flatMap(({ ports = [] }) => ports),
    };
  }

  /**
   * What the agent is told of those that are held.
   *
   * @throws KilnError why one was refused: a guest that is still to be told would lack it for its whole life
   */
  guest(facts: GuestFacts): GuestPart {
    if (this.#refusal !== undefined) throw this.#refusal;
    const parts = this.#inOrder().map((attachment) => attachment.guest(facts));
    const mounts = parts.flatMap((part) => part.mounts ?? []);
    return { ...Object.assign({}, ...parts), ...networkOf(parts), mounts };
  }

  /** The same of its cards alone, for a guest that runs. */
  network(facts: Pick<GuestFacts, "capabilities">): GuestNetwork {
    return networkOf(this.#inOrder().flatMap((attachment) => attachment.network?.(facts) ?? []));
  }

  /** In the order of kinds, whenever they were acquired: so the first interface is that of the user network. */
  #inOrder(): Attachment[] {
    return this.#all.filter((attachment) => this.#held.includes(attachment));
  }

  /**
   * Acquires those whose moment it is, in order.
   *
   * @param undo of the step of the boot that they belong to: releases what was acquired where the step fails
   */
  async acquire<M extends Moment>(moment: M, context: Moments[M], undo: UndoStack): Promise<void> {
    for (const attachment of this.#of(moment)) {
      await attachment.acquire(context);
      this.#held.push(attachment);
      undo.push(`let go of ${nameOf(attachment)}`, () => this.#release(attachment));
    }
  }

  /**
   * Takes over those of a VM that runs, as far as it can be done.
   *
   * @param refused told of each that can't be taken over: it is not held, and the VM runs on without it
   */
  async adopt<M extends Moment>(moment: M, context: Moments[M], refused: Refused): Promise<void> {
    for (const attachment of this.#of(moment)) {
      try {
        await attachment.adopt(context);
        await this.#hold(attachment);
      } catch (error) {
        this.#refusal ??= KilnError.from(error);
        refused(nameOf(attachment), KilnError.from(error));
      }
    }
  }

  /** Attaches one more to a VM that runs. @throws KilnError failed_precondition `vm-gone` where its run is over */
  async add<M extends Moment>(attachment: AttachmentAt<M> & Attachment, context: Moments[M]): Promise<void> {
    await attachment.acquire(context);
    if (!(await this.#hold(attachment))) throw isOver(attachment);
    this.#all.push(attachment);
  }

  /** Takes one away from a VM that runs. */
  async remove(attachment: Attachment): Promise<void> {
    drop(this.#all, attachment);
    await this.#release(attachment);
  }

  /** What the VM was refused by all that is held. What can't be asked counts nothing: the VM may end at any moment. */
  async denied(): Promise<number> {
    const counts = this.#held.map(async (attachment) => (await attachment.denied?.()) ?? 0);
    const found = await Promise.all(counts.map((count) => count.catch(() => 0)));
    return found.reduce((sum, count) => sum + count, 0);
  }

  /** The VM has ended: releases all that is held, in reverse. Never rejects. */
  async release(): Promise<void> {
    await this.#letGo((attachment) => attachment.release());
  }

  /** kilnd goes and the VM runs on. Never rejects. */
  async detach(): Promise<void> {
    await this.#letGo((attachment) => attachment.detach());
  }

  async #letGo(how: (attachment: Attachment) => Promise<void>): Promise<void> {
    this.#ending ??= how;
    const undo = new UndoStack(this.#tell);
    // Not held from here on: whoever comes between finds nothing to release a second time.
    for (const attachment of this.#held.splice(0)) {
      undo.push(`let go of ${nameOf(attachment)}`, () => how(attachment));
    }
    await undo.rollback();
  }

  /** What was acquired while the run came to its end goes as all else did. @returns whether it is held */
  async #hold(attachment: Attachment): Promise<boolean> {
    if (this.#ending === undefined) this.#held.push(attachment);
    else await this.#ending(attachment);
    return this.#ending === undefined;
  }

  async #release(attachment: Attachment): Promise<void> {
    if (drop(this.#held, attachment)) await attachment.release();
  }

  #of<M extends Moment>(moment: M): readonly AttachmentAt<M>[] & readonly Attachment[] {
    const isOf = (one: Attachment): one is AttachmentAt<M> & Attachment => one.at === moment;
    return this.#all.filter(isOf);
  }
}

function networkOf(parts: readonly GuestNetwork[]): GuestNetwork {
  return { ...resolvers(parts), interfaces: parts.flatMap((part) => part.interfaces ?? []) };
}

/** Those of named networks before those of the user network, which know no VM's name; each once. */
function resolvers(parts: readonly GuestNetwork[]): Pick<GuestPart, "dns"> {
  const [first, ...more] = parts.flatMap(({ dns }) => dns ?? []);
  if (first === undefined) return {};
  const servers = new Set([...more, first].flatMap((dns) => dns.servers));
  return { dns: { ...first, servers: [...servers] } };
}

/** @returns whether it was there */
function drop(list: Attachment[], attachment: Attachment): boolean {
  const index = list.indexOf(attachment);
  if (index >= 0) list.splice(index, 1);
  return index >= 0;
}

/** "port 0.0.0.0:8080:80/tcp": for people. */
function nameOf({ kind, id }: Attachment): string {
  return `${kind} ${id}`;
}

function noBoot(): KilnError {
  return new KilnError(Code.Internal, "a VM boots from one root, and from its own", { reason: "no-root" });
}

function isOver(attachment: Attachment): KilnError {
  return new KilnError(Code.FailedPrecondition, `attach ${nameOf(attachment)}: the VM has ended`, {
    reason: "vm-gone",
  });
}
