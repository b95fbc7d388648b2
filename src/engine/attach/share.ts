// A live directory of the host: a byte stream of its own between the guest and a kiln-share process, which outlives kilnd.

import { Code, KilnError } from "../../base/errors.js";
import { isAlive } from "../../base/processes.js";
import type { Share, ShareMap, ShareSpec } from "../../share/types.js";
import type { VmmPort } from "../../vmm/types.js";
import type { ShareConnection, ShareRoom } from "../common/rooms.js";
import type { GuestPart } from "../vm/boot-plan.js";
import type { Mount } from "../vm/mount-config.js";
import { describeMount } from "../vm/validate-mounts.js";
import { mountId } from "./mount-id.js";
import type { AttachedVm, AttachmentAt, HeldMount, Moments, VmmPart } from "./types.js";

/** What the guest is told of the share: the stream's end there, and the one file of it. */
interface Told {
  readonly port: VmmPort;
  readonly file: string | undefined;
}

export class SharedDirectory implements AttachmentAt<"launch"> {
  readonly kind = "share";
  readonly id: string;
  readonly at = "launch";
  readonly #wanted: Mount;
  /** Of the mount, and of the port that it has. */
  readonly #name: string;
  readonly #room: ShareRoom;
  readonly #tell: AttachedVm["onShare"];
  readonly #spec: ShareSpec;
  #told: Told | KilnError | undefined;
  #share: Share | undefined;
  #deafen: () => void = () => undefined;

  constructor(vm: AttachedVm, wanted: Mount, room: ShareRoom) {
    this.#tell = vm.onShare;
    this.#spec = { ...shareSpec(wanted), guestPlaces: vm.guestPlaces };
    this.#wanted = wanted;
    this.#name = mountId(wanted.target);
    this.#room = room;
    this.id = wanted.target;
  }

  get mount(): HeldMount {
    const { target } = this.#wanted;
    // Of who serves it: what lies at its path by now says nothing of that, once it is open.
    const notice = this.#share?.notice;
    const state = notice?.away === true ? "away" : "attached";
    return { target, id: this.#name, state, message: notice?.message ?? "" };
  }

  plan(): VmmPart {
    return { ports: [{ id: this.#name }] };
  }

  async acquire(context: Moments["launch"]): Promise<void> {
    const { port, connection } = this.#connect(context);
    const { file } = await this.#room.check(this.#spec);
    this.#keep(await this.#room.serve(this.#spec, connection));
    this.#told = { port, file };
  }

  /** What is missing on the host now must not cost a VM that runs: its server has it open, or is away until it is there again. */
  async adopt(context: Moments["launch"]): Promise<void> {
    const { port, connection } = this.#connect(context);
    this.#keep(await this.#room.adopt(this.#spec, connection));
    this.#told = await this.#room.check(this.#spec).then(
      ({ file }) => ({ port, file }),
      (error: unknown) => KilnError.from(error),
    );
  }

  #keep(share: Share): void {
    this.#share = share;
    this.#deafen = share.listen((notice) => this.#tell(this.#wanted.target, notice));
  }

  /** @throws KilnError internal where the VMM has no such port: a VM of before has no shares */
  #connect({ spec, vmm }: Moments["launch"]): { port: VmmPort; connection: ShareConnection } {
    const port = vmm.ports.get(this.#name);
    if (port === undefined) throw portMissing(this.#wanted);
    const { runDirectory, runAs, environment } = spec;
    const join = (pid: number) => vmm.join(pid);
    const vmLives = () => isAlive(vmm.record.process);
    return { port, connection: { port, runDirectory, runAs, environment, join, vmLives } };
  }

  guest(): GuestPart {
    if (this.#told === undefined) return {};
    if (this.#told instanceof KilnError) throw this.#told;
    const { file, port } = this.#told;
    const { target, readOnly, soft, notify, idmap } = this.#wanted;
    const source = { kind: "share" as const, at: port.guest, soft, notify, realIds: idmap !== "" };
    const whole = file === undefined ? source : { ...source, file };
    return { mounts: [{ id: this.#name, target, readOnly, source: whole }] };
  }

  async release(): Promise<void> {
    await this.#letGo()?.end();
  }

  async detach(): Promise<void> {
    this.#letGo()?.detach();
  }

  #letGo(): Share | undefined {
    const share = this.#share;
    this.#deafen();
    this.#share = undefined;
    return share;
  }
}

/** Without the places where guests make links: who opens it says them. Pure. */
export function shareSpec({ target, source, readOnly, notify, idmap }: Mount): ShareSpec {
  return { id: mountId(target), source, readOnly, notify, map: mapOf(idmap) };
}

/** @param idmap "GUEST:HOST:COUNT", as it was checked; "" for all files as root's */
function mapOf(idmap: string): ShareMap {
  if (idmap === "") return { kind: "squash", uid: 0, gid: 0 };
  const [guest = 0, host = 0, count = 0] = idmap.split(":").map(Number);
  return { kind: "range", guest, host, count };
}

function portMissing(mount: Mount): KilnError {
  return new KilnError(Code.Internal, `share ${describeMount(mount)}: the VMM has no port for it`, {
    reason: "no-port",
  });
}
