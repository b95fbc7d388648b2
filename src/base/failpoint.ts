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
 * - `image.fetched`: all blobs of an image are there, its record is not.
 * - `base.*`, `vm.*`, `exec.*`: what their stores do.
 * - `exec.started`: a program beside the main one runs and is not on record as running; `exec.running`: it is;
 *   `exec.ended`: its end is on record, and the agent has not forgotten it; `exec.restarting`: its next run is on record.
 * - `run.*`: a run enters a stage; `run.launched`: its VMM runs and is not on record; `run.up`: its program runs, and
 *   that is not on record; `run.live`: it is.
 * - `end.*`: the exit is on record; the last output is stored; the guest has let go; the VMM is gone and judged.
 */
export type Failpoint =
  | "kept.first"
  | "image.fetched"
  | `${"base" | "vm" | "exec"}.${StoreStep}`
  | `exec.${"started" | "running" | "ended" | "restarting"}`
  | `run.${"prepare" | "spawn" | "launched" | "hello" | "setup" | "files" | "workload" | "up" | "live"}`
  | `end.${"noted" | "stored" | "acknowledged" | "settled"}`;

let armed: ((point: Failpoint) => void) | undefined;

/** Says that the work has come to this point. */
export function failpoint(point: Failpoint): void {
  armed?.(point);
}

/** For tests: `hit` is called at every point, and may never return. */
export function armFailpoints(hit: (point: Failpoint) => void): void {
  armed = hit;
}
