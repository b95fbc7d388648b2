// The engine's knobs with their defaults. Where they come from (flags, environment, config.toml) is the daemon's
// business.

import { type Cidr, parseCidr } from "../../base/cidr.js";
import { Code, KilnError } from "../../base/errors.js";
import type { BuildLimits } from "./base-protocol.js";

/** What may be set about the engine; every field is there, with its default where nobody set it. */
export interface EngineSettings {
  /** Preferred VMM; "" chooses. */
  readonly vmm: string;
  /** Bytes of disk that images, bases and VMs leave free. */
  readonly diskReserveBytes: number;
  /** Bytes of memory that stay available to the host when a VM starts. */
  readonly memoryReserveBytes: number;
  readonly buildLimits: BuildLimits;
  readonly logLimits: LogLimits;
  /** Of each program that `exec -d` has started. */
  readonly execLogLimits: LogLimits;
  /** How long a guest may take from its VMM's start to the agent's hello, by accelerator. */
  readonly helloTimeoutMs: { readonly kvm: number; readonly tcg: number };
  /** How long a guest's console may stay silent before the boot is tried again. */
  readonly silenceTimeoutMs: { readonly kvm: number; readonly tcg: number };
  /** VMs that boot at the same time; more wait their turn. */
  readonly concurrentBoots: number;
  /** How often disk and memory of the host are looked at. */
  readonly hostWatchMs: number;
  /** How often a running guest is asked for a sign of life, and how long it may take. */
  readonly pulseMs: number;
  /** How long a guest may be silent to somebody who has sent a program a signal. */
  readonly heardMs: number;
  /** Between attempts to speak to an agent again. */
  readonly linkPauses: LinkPauses;
  readonly takeover: TakeoverSettings;
  /** What a guest may take to end after its exit was acknowledged, before its VMM is killed. */
  readonly endGraceMs: number;
  /** IPv4 ranges from which networks that name no subnet are given a /24 each. */
  readonly networkPools: readonly Cidr[];
  /** Of new VMs that name no policy of their own; as `parseEgress` takes it. */
  readonly egress: string;
}

export interface LogLimits {
  /** A new segment begins after this many bytes. */
  readonly segmentBytes: number;
  /** All segments of a VM, or of one program, together. */
  readonly keepBytes: number;
}

export const DEFAULT_LOG_LIMITS: LogLimits = { segmentBytes: 8 * 1024 ** 2, keepBytes: 64 * 1024 ** 2 };

const EXEC_LOG_LIMITS: LogLimits = { segmentBytes: 4 * 1024 ** 2, keepBytes: 16 * 1024 ** 2 };

/** Between attempts, milliseconds: doubled from one to the next. */
export interface LinkPauses {
  readonly first: number;
  /** A guest that answers every hello with garbage costs us one attempt in this time. */
  readonly longest: number;
}

/** How a new kilnd reaches for the VMMs that live. */
export interface TakeoverSettings {
  /** VMMs at the same time: on a loaded host all at once answer none in time. */
  readonly atOnce: number;
  /** For one attempt. */
  readonly attemptMs: number;
  /** Between attempts with a VMM that did not answer, milliseconds: doubled from one to the next. */
  readonly pauses: LinkPauses;
}

/** Podman's first, which nobody routes: a home's, an office's and Docker's begin elsewhere. */
const DEFAULT_NETWORK_POOL = "10.89.0.0/16";

/**
 * Ranges with commas between.
 *
 * @throws KilnError invalid_argument `bad-network-pool`
 */
export function parseNetworkPools(text: string): Cidr[] {
  return text.split(",").map((word) => {
    const range = parseCidr(word.trim());
    if (range?.family === 4 && range.prefix <= 24) return range;
    throw new KilnError(Code.InvalidArgument, `"${word}" is no range of IPv4 addresses for networks`, {
      reason: "bad-network-pool",
      hint: "write 10.89.0.0/16, of /24 or larger",
    });
  });
}

const GIB = 1024 ** 3;

/** Settings that nobody changed, for a host with that many processors. */
export function defaultSettings(cpus: number): EngineSettings {
  return {
    vmm: "",
    diskReserveBytes: GIB / 2,
    memoryReserveBytes: GIB / 8,
    buildLimits: {},
    logLimits: DEFAULT_LOG_LIMITS,
    execLogLimits: EXEC_LOG_LIMITS,
    helloTimeoutMs: { kvm: 15_000, tcg: 60_000 },
    silenceTimeoutMs: { kvm: 5_000, tcg: 15_000 },
    concurrentBoots: Math.max(2, cpus),
    hostWatchMs: 10_000,
    pulseMs: 10_000,
    heardMs: 5_000,
    linkPauses: { first: 50, longest: 10_000 },
    takeover: { atOnce: 8, attemptMs: 30_000, pauses: { first: 1_000, longest: 30_000 } },
    endGraceMs: 15_000,
    networkPools: parseNetworkPools(DEFAULT_NETWORK_POOL),
    egress: "all",
  };
}
