// Which hosts are this machine: plain HTTP is allowed there, and nobody outside may send us there.

/** True for localhost, 127.0.0.0/8 and ::1, as `URL.hostname` spells them (WHATWG: IPv4 normalised, IPv6 in brackets). */
export function isLoopbackHost(hostname: string): boolean {
  const host = hostname.toLowerCase();
  if (host === "localhost" || host.endsWith(".localhost")) return true;
  if (/^127\.[0-9]+\.[0-9]+\.[0-9]+$/.test(host)) return true;
  return host === "[::1]" || /^\[::ffff:7f[0-9a-f]{2}:[0-9a-f]{1,4}\]$/.test(host);
}

/**
 * True for addresses that only mean something on this machine: loopback, unspecified, link-local (where clouds serve
 * their metadata).
 */
export function isLocalHost(hostname: string): boolean {
  const host = hostname.toLowerCase();
  if (isLoopbackHost(host)) return true;
  if (/^(0\.|169\.254\.)/.test(host)) return true;
  return host === "[::]" || /^\[fe[89ab][0-9a-f]:/.test(host) || /^\[::ffff:(0|a9fe):/.test(host);
}
