// How long a call of the agent may last.

export interface CallLimits {
  /** Ends it; the guest may have done what it was asked. */
  readonly signal?: AbortSignal;
  /** Milliseconds. KilnError deadline_exceeded `timeout` after it. Absent: the call may last as long as its session. */
  readonly timeoutMs?: number;
}
