// Named points in kilnd's work at which a test ends it, as kill -9 or a power cut might. In a release nothing is armed
// and a point costs one look at a variable; only a test's own program arms one (test/fixtures/kilnd-failpoints.ts).

/** Between two changes on disk, in the order in which they come: what a store of objects does. */
export type StoreStep =
  | "create.begun"
  | "create.filled"
  | "create.aside"
  | "create.renamed"
  | "remove.renamed";

/**
 * - `kept.first`: a kept file is in place, its copy is not yet.
 * - `image.*`: a pull is in the journal (`noted`); a blob of it is whole and verified (`downloaded`), and lies under its
 *   digest (`stored`); all of them do, and the record is not there (`fetched`); it is, and no name leads to it (`recorded`);
 *   one does, and the pull is in the journal still (`named`). `unnamed`: no name leads to a record any more, which is there.
 * - `kernel.prepared`: a kernel is unpacked and looked at, and in no place yet; `kernel.moved`: files that it had not are
 *   in its place, and not on record.
 * - `base.*`, `kernel.*`, `vm.*`, `exec.*`, `volume.*`, `network.*`: what their stores do. `volume.grown`: the file has its new size, which
 *   is not on record.
 * - `exec.started`: a program beside the main one runs and is not on record as running; `exec.running`: it is;
 *   `exec.ended`: its end is on record, and the agent has not forgotten it; `exec.restarting`: its next run is on record.
 * - `mount.kept`: a mount that a VM is to have while it runs is on record; `mount.disk`: its VMM has the disk;
 *   `mount.attached`: its guest has it; `mount.unmounted`: its guest has let go of one, which is on record.
 * - `card.kept`: a network that a VM is put on while it runs is on record; `card.joined`: the network knows its card; `card.attached`: its
 *   VMM has it; `card.told`: its guest has set it up. `card.cut`: the card of one that leaves leads nowhere; `card.left`: the network knows it
 *   no more; `card.removed`: its guest and its VMM have let go of it, and the network is on the VM's record still.
 * - `run.*`: a run enters a stage; `run.attached`: what it needs before a VMM is there; `run.directories`: those of its VMM are;
 *   `run.launched`: its VMM runs and is not on record; `run.noted`: it is; `run.up`: its program runs, and
 *   that is not on record; `run.live`: it is.
 * - `helper.*`: a process that outlives kilnd was just started (`started`), kilnd knows which one it is and has it not on record
 *   (`spawned`), it is on record and has not begun (`recorded`); it is ended, and on record still (`ended`).
 * - `network.*`: a user's own namespace is there and not yet its way out (`held`), and that is too (`open`), the way out is gone
 *   and the namespace is not (`shut`); of a network there is its directory (`noted`), the host passes packets on (`forwards`), its
 *   rules are loaded (`ruled`), its bridge is up (`linked`), its resolver's files are written (`told`), those of what answers by
 *   DHCP (`leased`), both run (`named`); a card's files are written and its names not known yet (`card`), they are (`joined`); its
 *   rules are gone and its names not (`left`), both are (`unjoined`); a network's resolver is gone (`unnamed`), its links are and
 *   its rules not (`unlinked`), those are (`unruled`), nothing of it is there (`forgotten`); one that was found again has the
 *   rules of its cards (`adopted`), and what is nobody's is gone but for cards' rules (`swept`).
 * - `cni.*`: a card on a CNI network is on record (`recorded`), its namespace is held (`held`), one of its plugins has
 *   added it (`added`), and the result is on record (`joined`), and what the link is like (`linked`); one plugin has deleted it
 *   (`unplugged`), all have (`deleted`), and it is not on record any more (`forgotten`).
 * - `port.*`: kilnd listens at a port (`bound`), rules lead there as well (`led`), and it is on record (`kept`); it is on record no
 *   more (`dropped`), its rules are gone (`unled`), and nobody listens (`closed`).
 * - `end.*`: the exit is on record; the last output is stored; the guest has let go; the VMM is gone, and what was attached to
 *   it (`released`), and its run directory (`settled`). `vm.removed`: a VM's files are gone.
 */
export type Failpoint =
  | "kept.first"
  | `image.${"noted" | "downloaded" | "stored" | "fetched" | "recorded" | "named" | "unnamed"}`
  | `kernel.${"prepared" | "moved"}`
  | `${"base" | "kernel" | "vm" | "exec" | "volume" | "network"}.${StoreStep}`
  | "volume.grown"
  | `helper.${"started" | "spawned" | "recorded" | "ended"}`
  | `network.${"held" | "open" | "shut" | "adopted" | "swept"}`
  | `network.${"noted" | "forwards" | "ruled" | "linked" | "told" | "leased" | "named"}`
  | `network.${"card" | "joined" | "left" | "unjoined"}`
  | `network.${"unnamed" | "unlinked" | "unruled" | "forgotten"}`
  | `cni.${"recorded" | "held" | "added" | "joined" | "linked" | "unplugged" | "deleted" | "forgotten"}`
  | `port.${"bound" | "led" | "kept" | "dropped" | "unled" | "closed"}`
  | `mount.${"kept" | "disk" | "attached" | "unmounted"}`
  | `card.${"kept" | "joined" | "attached" | "told" | "cut" | "left" | "removed"}`
  | `exec.${"started" | "running" | "ended" | "restarting"}`
  | `run.${"prepare" | "attached" | "spawn" | "directories" | "launched" | "noted" | "hello" | "setup" | "files" | "workload" | "up" | "live"}`
  | `end.${"noted" | "stored" | "acknowledged" | "released" | "settled"}`
  | "vm.removed";

let armed: ((point: Failpoint) => void) | undefined;

/** Says that the work has come to this point. */
export function failpoint(point: Failpoint): void {
  armed?.(point);
}

/** For tests: `hit` is called at every point, and may never return. */
export function armFailpoints(hit: (point: Failpoint) => void): void {
  armed = hit;
}
