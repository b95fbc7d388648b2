// What runs of one VM: the VMM's handle, the link to the agent, the published ports, and what has been learnt about
// its end. One of these per boot.

import type { AgentSession } from "../../agent/types.js";
import { KilnError } from "../../base/errors.js";
import type { Logger } from "../../base/log.js";
import { type Deferred, deferred } from "../../base/runtime.js";
import type { VmmHandle } from "../../vmm/types.js";
import { CardSet, type CardSetParts } from "../attach/card-set.js";
import { MountSet, type MountSetParts } from "../attach/mount-set.js";
import type { PortRules } from "../attach/port-rules.js";
import { PortSet } from "../attach/ports.js";
import type { AttachmentSet } from "../attach/set.js";
import type { GuestDialer, Rooms } from "../common/rooms.js";
import type { LinkPauses } from "../common/settings.js";
import type { VmLog } from "../output/vm-log.js";
import type { LiveView } from "../vm/run-view.js";
import type { ReportedExit } from "../vm/status.js";
import { AgentLink } from "./agent-link.js";
import type { Companion } from "./companion.js";
import { type GrowParts, growMounts } from "./grow-mounts.js";
import { setGuestClock } from "./guest-clock.js";
import { guestHalted } from "./guest-pulse.js";
import { awaitExit, carryOutput, reportedExit, type WatchedProgram } from "./watched-program.js";

export interface LiveVmOptions {
  readonly name: string;
  readonly handle: VmmHandle;
  readonly attached: AttachmentSet;
  /** The attachment of a mount that the VM is to have while it runs. */
  readonly makeMount: MountSetParts["make"];
  readonly makeCards: CardSetParts["make"];
  /** Of ports that are published by rules. */
  readonly portRules: PortRules | undefined;
  readonly rooms: Rooms;
  readonly vmLog: VmLog;
  readonly log: Logger;
  readonly helloTimeoutMs: number;
  readonly linkPauses: LinkPauses;
  readonly now: () => number;
  readonly companion: Companion;
  /** Told that the guest has come to an end that its VMM must be brought to. */
  readonly want: (intent: "halted" | "lost", why?: string) => void;
}

const SESSION_MS = 15_000;

export class LiveVm implements LiveView {
  readonly handle: VmmHandle;
  readonly link: AgentLink;
  readonly attached: AttachmentSet;
  /** Those of what is attached. */
  readonly ports: PortSet;
  readonly mounts: MountSet;
  readonly cards: CardSet;
  readonly guest: GuestDialer;
  /** The program's end as the agent reported it. */
  readonly report: Deferred<ReportedExit> = deferred();
  /** That is here. */
  hasReport = false;
  /** Every byte of output is on disk. */
  readonly logsDone: Deferred<void> = deferred();
  readonly #options: LiveVmOptions;
  readonly #abort = new AbortController();
  #pump: Promise<void> = Promise.resolve();
  #clock: Promise<void> = Promise.resolve();

  constructor(options: LiveVmOptions) {
    this.#options = options;
    this.handle = options.handle;
    this.link = new AgentLink({
      name: options.name,
      open: (signal) => this.open(signal, options.helloTimeoutMs),
      onSession: (session) => this.#serve(session),
      onLost: (why) => this.#lose(why),
      pauses: options.linkPauses,
      log: options.log,
    });
    this.guest = { session: (o) => this.link.session(o) };
    this.attached = options.attached;
    const { name, handle, attached, makeMount: make, makeCards, log } = options;
    const session = (how: { timeoutMs: number }) => this.link.session(how);
    this.cards = new CardSet({ name, handle, attached, make: makeCards, session, log });
    this.mounts = new MountSet({ handle, attached, make, session, grow: (volume) => this.#grow([volume]) });
    this.ports = new PortSet(options.attached, options.rooms.network, this.guest, options.portRules);
  }

  /** Dials and says hello; the caller owns the session. */
  open(signal: AbortSignal, helloTimeoutMs: number): Promise<AgentSession> {
    const dial = (options: { signal?: AbortSignal | undefined }) => this.handle.dialChannel(options);
    return this.#options.rooms.agent.openSession(dial, { signal, helloTimeoutMs });
  }

  /** Resolves when what the present session has brought is stored. */
  outputStored(): Promise<void> {
    return this.#pump;
  }

  /** Resolves when what the programs beside the main one have said is stored. */
  lastWords(): Promise<void> {
    return this.#options.companion.lastWords();
  }

  denied(): Promise<number> {
    return this.attached.denied();
  }

  /** Ends the VMM of a guest that has halted, for as long as this VM is held. */
  async watchPulse(everyMs: number, patienceMs: number): Promise<void> {
    const { signal } = this.#abort;
    // A paused guest is not asked: the questions would wait in its channel.
    const session = () => (this.link.held ? undefined : this.link.current);
    try {
      await guestHalted(this.handle, session, { everyMs, patienceMs, signal });
    } catch {
      return; // released
    }
    this.#options.want("halted");
    await this.handle.kill();
  }

  /** No more words with the guest. What is attached is held as it was. */
  async hangUp(): Promise<void> {
    this.#abort.abort();
    await Promise.all([this.link.close(), this.#options.companion.release()]);
  }

  /** The VM has ended, or is to: lets go of everything; the VMM is left as it is. */
  async release(): Promise<void> {
    await Promise.all([this.hangUp(), this.attached.release()]);
  }

  /** kilnd goes and the VM runs on: lets go of everything in this process. */
  async detach(): Promise<void> {
    try {
      await this.handle.detach();
    } finally {
      await Promise.all([this.hangUp(), this.attached.detach()]);
    }
  }

  /** A guest that can't be managed must neither live on unseen nor be shown as running. */
  #lose(why: string): void {
    this.#options.log.warn("the guest's agent breaks the protocol again and again: the VM is ended", { why });
    this.#options.want("lost", why);
    this.handle.kill().catch((error: unknown) => {
      this.#options.log.error("its VMM can't be ended", { why: KilnError.from(error).message });
    });
  }

  /** After the guest has stood still: its clock, at once, and what it could not be told of. */
  async goOn(): Promise<void> {
    await this.setClock();
    void this.#grow(this.attached.held, this.handle);
  }

  #grow(held: GrowParts["held"], untold?: GrowParts["untold"]): Promise<void> {
    const { log } = this.#options;
    const session = () => this.link.session({ timeoutMs: SESSION_MS });
    return growMounts({ held, session, untold, log, signal: this.#abort.signal });
  }

  /** Where there is no session, the next one begins with it. */
  async setClock(session = this.link.current): Promise<void> {
    if (session === undefined) return;
    // One after the other: two that saw the same distance would both move the clock by it.
    this.#clock = this.#clock.then(() => this.#setClock(session));
    return this.#clock;
  }

  async #setClock(session: AgentSession): Promise<void> {
    const { log, now } = this.#options;
    try {
      const moved = await setGuestClock(session, now);
      if (moved !== 0n) log.debug("the guest's clock was set right", { movedMs: String(moved / 1_000_000n) });
    } catch (error) {
      log.debug("the guest's clock can't be set", { why: KilnError.from(error).message });
    }
  }

  #serve(session: AgentSession): void {
    const { rooms, vmLog, log, companion } = this.#options;
    void this.setClock(session);
    const program = {
      calls: session.workloads.main,
      output: vmLog,
      pumpLogs: rooms.agent.pumpLogs,
      log,
      signal: this.#abort.signal,
      isCurrent: () => this.link.current === session,
    };
    this.#pump = this.#carryLogs(program);
    void this.#awaitExit(program);
    companion.serve(session);
  }

  async #carryLogs(program: WatchedProgram): Promise<void> {
    if (await carryOutput(program)) this.logsDone.resolve();
  }

  async #awaitExit(program: WatchedProgram): Promise<void> {
    const end = await awaitExit(program);
    if (end.kind !== "exit") return;
    this.hasReport = true;
    this.report.resolve(reportedExit(end.exit));
  }
}
