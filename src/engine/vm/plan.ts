// From what the user asked and what the image says to what runs in the VM. Pure: the image's config is hostile
// input that was parsed by the image room; here it is merged and bounded.

import { posix } from "node:path";
import { Code, KilnError } from "../../base/errors.js";
import type { ImageRunConfig } from "../../image/types.js";
import { signalNumber } from "../common/signals.js";
import { checkPortCount } from "./validate.js";
import type { PortBinding, VmConfig } from "./vm-config.js";

/** What PID 1's child is, as sent to the agent at every boot. Kept in vm.json: starting needs no image. */
export interface ProgramPlan {
  readonly mode: "app" | "system";
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly user: string;
  readonly workdir: string;
  /** Made in the root where they are missing: the image's volumes. */
  readonly directories: readonly string[];
  /** Signal number; 0: the init's own way to power off (system mode). */
  readonly stopSignal: number;
  /** What is published: asked for, and with `-P` what the image exposes. */
  readonly ports: readonly PortBinding[];
}

// Docker's, for images that set none.
const DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const SYSTEM_INIT = "/sbin/init";
/** Of an image made for containers (s6-overlay): it ends by a signal, as it would there. */
const CONTAINER_INIT = "/init";
const INITS: ReadonlySet<string> = new Set([
  SYSTEM_INIT,
  "/usr/sbin/init",
  "/usr/local/sbin/init",
  CONTAINER_INIT,
]);
/** More than any image has. */
const MOST_VOLUMES = 256;

/**
 * @param hasInit whether the merged image holds /sbin/init
 * @throws KilnError invalid_argument `no-command`, `no-init`, `bad-signal`
 */
export function planProgram(config: VmConfig, image: ImageRunConfig, hasInit: boolean): ProgramPlan {
  const words = argsOf(config, image);
  const args = config.init === "auto" ? initOfShell(words) : words;
  const mode = modeOf(config, args, hasInit);
  const named = mode === "system" && isInit(args[0]);
  const isMachine = mode === "system" && !(named && posix.normalize(args[0] ?? "") === CONTAINER_INIT);
  const asked = config.stopSignal || image.stopSignal;
  return {
    mode,
    args: mode === "system" && !named ? systemArgs(config, hasInit) : args,
    env: envOf(config, image),
    // A machine's init is root's; one that an image made for containers names runs as whom the image says.
    user: mode === "system" && !(named && config.init === "auto") ? "" : config.user || image.user,
    workdir: config.workdir || image.workdir || "/",
    directories: image.volumes
      .filter((path) => path.startsWith("/") && !path.includes("\0"))
      .slice(0, MOST_VOLUMES),
    stopSignal: asked === "" ? (isMachine ? 0 : signalNumber("TERM")) : signalNumber(asked),
    ports: portsOf(config, image),
  };
}

/** Docker's rule: an entrypoint of the user's own also drops the image's CMD. */
function argsOf(config: VmConfig, image: ImageRunConfig): string[] {
  const ownEntrypoint = config.entrypointSet || config.entrypoint.length > 0;
  const entrypoint = ownEntrypoint ? config.entrypoint : image.entrypoint;
  const inherited = ownEntrypoint ? [] : image.cmd;
  const args = [...entrypoint, ...(config.command.length > 0 ? config.command : inherited)];
  // `--entrypoint ""` arrives as one empty word: it empties the entrypoint.
  return args[0] === "" ? args.slice(1) : args;
}

function modeOf(config: VmConfig, args: readonly string[], hasInit: boolean): "app" | "system" {
  if (config.init === "system") return "system";
  if (args.length > 0) return config.init === "auto" && isInit(args[0]) ? "system" : "app";
  if (config.init === "auto" && hasInit) return "system";
  throw new KilnError(
    Code.InvalidArgument,
    `image ${config.image} names no command to run, and none was given`,
    {
      reason: "no-command",
      hint: "give one after the image, for example `kiln run IMAGE sh`",
    },
  );
}

/** A program that only works as PID 1: an init by the name that everybody gives it (s6-overlay's is /init). */
function isInit(program: string | undefined): boolean {
  if (program === undefined) return false;
  const path = posix.normalize(program);
  return INITS.has(path) || /^\/.*\/systemd$/.test(path);
}

/** `CMD /usr/lib/systemd/systemd` in its shell form: the shell would be PID 1, and the init not. */
function initOfShell(args: readonly string[]): readonly string[] {
  const [shell = "", flag, script = "", ...more] = args;
  if (!/^(\/usr)?\/bin\/(ba|da)?sh$/.test(shell) || flag !== "-c" || more.length > 0) return args;
  const words = script.trim().split(/\s+/);
  const named = words[0] === "exec" ? words.slice(1) : words;
  const plain = named.every((word) => /^[\w./=:@%+-]+$/.test(word));
  return plain && isInit(named[0]) ? named : args;
}

function systemArgs(config: VmConfig, hasInit: boolean): string[] {
  const own = [...config.entrypoint, ...config.command].filter((word) => word !== "");
  if (own.length > 0) return own;
  if (hasInit) return [SYSTEM_INIT];
  throw new KilnError(Code.InvalidArgument, `image ${config.image} has no ${SYSTEM_INIT} for --init system`, {
    reason: "no-init",
    hint: "name the image's init after the image, or use --init app",
  });
}

/** Later settings win, each name once, in the order of first mention. */
function envOf(config: VmConfig, image: ImageRunConfig): string[] {
  const merged = new Map<string, string>();
  const terminal = config.tty ? ["TERM=xterm"] : [];
  const ofImage = image.env.filter((entry) => entry.includes("="));
  for (const entry of [DEFAULT_PATH, ...terminal, ...ofImage, ...config.env]) setVariable(merged, entry);
  return [...merged.values()];
}

/** "NAME=VALUE" sets; "NAME" alone takes away. */
export function setVariable(merged: Map<string, string>, entry: string): void {
  const cut = entry.indexOf("=");
  if (cut > 0) merged.set(entry.slice(0, cut), entry);
  else if (cut < 0) merged.delete(entry);
}

function portsOf(config: VmConfig, image: ImageRunConfig): PortBinding[] {
  const ports = [...config.publish];
  if (!config.publishAll) return ports;
  const published = new Set(ports.map(targetOf));
  for (const exposed of image.exposedPorts) {
    for (const port of exposedPorts(exposed)) {
      if (published.has(targetOf(port))) continue;
      published.add(targetOf(port));
      ports.push({ hostIp: "", hostPort: 0, ...port });
      checkPortCount(ports.length, `publish every port that image ${config.image} exposes`);
    }
  }
  return ports;
}

const targetOf = ({ vmPort, protocol }: Pick<PortBinding, "vmPort" | "protocol">) => `${vmPort}/${protocol}`;

/** "80", "80/tcp", "53/udp", "7000-7009/tcp"; nothing for anything else (sctp, nonsense). */
export function* exposedPorts(text: string): Generator<Pick<PortBinding, "vmPort" | "protocol">, void> {
  const match = /^([0-9]{1,5})(?:-([0-9]{1,5}))?(?:\/(tcp|udp))?$/i.exec(text);
  if (match === null) return;
  const [, first, last = first, word] = match;
  const protocol = word?.toLowerCase() === "udp" ? "udp" : "tcp";
  if (Number(first) < 1 || Number(last) > 65_535) return;
  for (let vmPort = Number(first); vmPort <= Number(last); vmPort++) yield { vmPort, protocol };
}
