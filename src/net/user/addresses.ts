// The addresses of the user network, the same in every VM: each is behind a NAT of its own.

/** 10.0.2.0/24: of the VM itself, of what it sends everything through, and of what answers for the host's resolver. */
export const USER_NET = {
  guest: "10.0.2.15",
  prefixLength: 24,
  gateway: "10.0.2.2",
  /** Forwards to the host's first resolver with IPv4, wherever that is, the host's loopback included. */
  resolver: "10.0.2.3",
  /** What they all begin with. */
  start: "10.0.2.",
} as const;
