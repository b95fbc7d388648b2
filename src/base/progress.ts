// Progress of long work, as data: the CLI draws it, the daemon streams it.

export interface ProgressUpdate {
  /** Which step: a layer's digest, "base", "kernel". */
  readonly id: string;
  readonly status:
    | "resolving"
    | "waiting"
    | "downloading"
    | "retrying"
    | "verifying"
    | "exists"
    | "building"
    | "extracting"
    | "done";
  /** Bytes, unless `unit` says what else. */
  readonly current?: number;
  /** Absent where unknown. */
  readonly total?: number;
  /** What is counted: "objects". */
  readonly unit?: string;
  readonly message?: string;
}

/** Must not throw and must not block: it is called on the data path. */
export type OnProgress = (update: ProgressUpdate) => void;

export interface Abortable {
  readonly signal?: AbortSignal | undefined;
}
