// Numbers out of a guest, made sane: whatever an agent says, nobody downstream has to expect a negative memory, an
// exit code of a billion or a counter that a float can't hold.

/** Linux's PID_MAX_LIMIT. */
const MOST_PROCESSES = 4_194_304;
const MOST_COUNT = BigInt(Number.MAX_SAFE_INTEGER);
const MOST_BOOT_MS = 86_400_000;
const IMPOSSIBLE_EXIT_CODE = 255;
/** The last of Linux's real-time signals. */
const MOST_SIGNAL = 64;

/** Bytes and other counters. */
export function boundedCount(value: bigint): bigint {
  return value < 0n ? 0n : value > MOST_COUNT ? MOST_COUNT : value;
}

/** What is in use of `limit` bytes. */
export function usedMemory(total: bigint, available: bigint, limit: number): number {
  return Math.min(limit, Number(boundedCount(total - available)));
}

export function boundedProcesses(count: number): number {
  return Math.min(MOST_PROCESSES, Math.max(0, count));
}

/** 0 to 255, as wait(2) gives it. */
export function boundedExitCode(code: number): number {
  return Number.isInteger(code) && code >= 0 && code <= 255 ? code : IMPOSSIBLE_EXIT_CODE;
}

/** 0: none. */
export function boundedSignal(signal: number): number {
  return signal > 0 && signal <= MOST_SIGNAL ? signal : 0;
}

/** 0: there is none. */
export function boundedPid(pid: number): number {
  return pid > 0 && pid <= MOST_PROCESSES ? pid : 0;
}

/** Of a step of the boot. */
export function boundedMilliseconds(microseconds: bigint): number {
  return Math.min(MOST_BOOT_MS, Number(boundedCount(microseconds)) / 1000);
}
