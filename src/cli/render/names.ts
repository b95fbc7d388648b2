// Ids, image names, states and ages as lists show them.

import { shortId } from "../../base/ids.js";
import { formatPortMapping } from "../../base/ports.js";
import { formatAge } from "../../base/units.js";
import type { PortBinding, ProcessStatus, VmInfo, VmStatus } from "../../sdk/index.js";

/** "docker.io/library/nginx:1.27" as people write it: "nginx:1.27". */
export function familiarImage(name: string): string {
  const short = name.replace(/^docker\.io\/library\//, "").replace(/^docker\.io\//, "");
  // "docker.io/corp.example/x" must not become "corp.example/x", which is another registry.
  const first = short.split("/")[0] ?? "";
  return short.includes("/") && /[.:]|^localhost$/.test(first) ? name : short;
}

/** The id as a list shows it: whole, or its first twelve characters. */
export function idOf(id: string, full: boolean): string {
  return full ? id : shortId(id);
}

/** "5 minutes ago"; "" for a time that is not known. */
export function ago(time: Date | undefined, now: Date): string {
  return time === undefined ? "" : `${formatAge(now.getTime() - time.getTime())} ago`;
}

/** "Up 5 minutes", "Exited (0) 2 hours ago", "Failed (no-hello) 3 seconds ago". */
export function statusText(vm: VmInfo, now: Date): string {
  const { status } = vm;
  const up =
    status.startedAt === undefined ? "" : ` ${formatAge(now.getTime() - status.startedAt.getTime())}`;
  switch (status.state) {
    case "running":
      return `Up${up}`;
    case "paused":
      // The user's own pause has no reason; a full disk is one.
      return `Up${up} (Paused${status.reason === "" ? "" : `: ${status.reason}`})`;
    case "exited":
      return `Exited (${status.exitCode}${over(status)}) ${ago(status.finishedAt, now)}`.trim();
    case "failed":
      return `Failed (${status.reason || "unknown"}) ${ago(status.finishedAt, now)}`.trim();
    case "unspecified":
      return "Unknown";
    default:
      return status.state.charAt(0).toUpperCase() + status.state.slice(1);
  }
}

/** "Up 5 minutes", "Restarting (1) 3 seconds ago", "Exited (137: vm-ended) 2 hours ago". */
export function execStatusText(status: ProcessStatus, now: Date): string {
  const { state, exitCode, reason, startedAt, finishedAt } = status;
  if (state === "running")
    return startedAt === undefined ? "Up" : `Up ${formatAge(now.getTime() - startedAt.getTime())}`;
  const why = reason === "" || reason === "program-exited" ? "" : `: ${reason}`;
  if (state === "exited") return `Exited (${exitCode}${why}) ${ago(finishedAt, now)}`.trim();
  if (state === "restarting") return `Restarting (${exitCode}${why}) ${ago(finishedAt, now)}`.trim();
  return state === "starting" ? "Starting" : "Unknown";
}

/** An end that neither the program nor the user chose. */
function over({ reason }: VmStatus): string {
  return reason === "lifetime-over" ? ": lifetime over" : "";
}

/** "0.0.0.0:8080->80/tcp, 53/udp": bound ones with their host's side. */
export function portsText(status: Pick<VmStatus, "ports">): string {
  return status.ports.map(portText).join(", ");
}

function portText(port: PortBinding): string {
  const bound = { ...port, hostIp: port.hostIp === "" ? "0.0.0.0" : port.hostIp };
  return port.hostPort === 0 ? `${port.vmPort}/${port.protocol}` : formatPortMapping(bound);
}

/** What runs in it, as a shell would be given it. */
export function commandText(vm: VmInfo): string {
  return wordsText([...vm.config.entrypoint, ...vm.config.command]);
}

/** Words as a shell would be given them. */
export function wordsText(words: readonly string[]): string {
  return words.map(quoteWord).join(" ");
}

function quoteWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
