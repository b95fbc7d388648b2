// What others have begun with a guest, for rules that see each frame for itself: connections are not tracked on a link's ingress. So
// a guest whose policy does not open somebody answers that one, by the ports that were asked, and says nothing of its own. Pure.

/** How long somebody is answered: one who is beginning, one who has begun and goes on, and who asked without a connection. */
const BEGINNING = "60s";
const GOING_ON = "2h";
const ASKED = "2m";
/** Of each kind at one time: beyond that others are not answered, and nothing else is lost. */
const MOST = 32_768;

type Family = 4 | 6;
const HEADERS = { 4: "ip", 6: "ip6" } as const;

/** By who began, at which of its ports, with which of the guest's. */
export function planSets(): string {
  const one = (name: string, type: string) =>
    `  set ${name} { type ${type}; size ${MOST}; flags dynamic,timeout; }\n`;
  return ([4, 6] as const)
    .flatMap((family) => {
      const address = `ipv${family}_addr`;
      const flow = `${address} . inet_service . inet_service`;
      return [one(`tcp${family}`, flow), one(`udp${family}`, flow), one(`ping${family}`, address)];
    })
    .join("");
}

/** Rules of what comes from outside, which go on to the next one; or of what a guest says to those, and which then leaves. */
export function planAnswers(what: "from outside" | Family): string[] {
  return what === "from outside" ? [...begins(4), ...begins(6)] : answers(what);
}

function begins(family: Family): string[] {
  const ip = HEADERS[family];
  const at = `ether type ${ip}`;
  const tcp = `${ip} saddr . tcp sport . tcp dport`;
  const echo = family === 4 ? "icmp" : "icmpv6";
  return [
    // One that goes on is not cut short by another beginning.
    `${at} tcp flags & (syn | ack) == syn add @tcp${family} { ${tcp} timeout ${BEGINNING} }`,
    `${at} tcp flags & syn == 0 ${tcp} @tcp${family} update @tcp${family} { ${tcp} timeout ${GOING_ON} }`,
    `${at} meta l4proto udp update @udp${family} { ${ip} saddr . udp sport . udp dport timeout ${ASKED} }`,
    `${at} ${echo} type echo-request update @ping${family} { ${ip} saddr timeout ${ASKED} }`,
  ];
}

function answers(family: Family): string[] {
  const ip = HEADERS[family];
  const tcp = `${ip} daddr . tcp dport . tcp sport`;
  const udp = `${ip} daddr . udp dport . udp sport`;
  const echo = family === 4 ? "icmp" : "icmpv6";
  return [
    // A guest begins nothing by the ports of what was begun with it.
    `tcp flags & (syn | ack) != syn ${tcp} @tcp${family} update @tcp${family} { ${tcp} timeout ${GOING_ON} } goto out`,
    `meta l4proto udp ${udp} @udp${family} goto out`,
    `${echo} type echo-reply ${ip} daddr @ping${family} goto out`,
  ];
}
