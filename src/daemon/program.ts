// kilnd, the program: flags, log, signals. What it does is in daemon.ts.

import "../base/runtime.js";
import "./fast-base64.js";
import { join } from "node:path";
import { Code, KilnError } from "../base/errors.js";
import { createLogger, type Level, type Logger } from "../base/log.js";
import { kilnPaths } from "../base/paths.js";
import { closeStrayDescriptors } from "../base/stray-descriptors.js";
import {
  type CommandLine,
  type Config,
  helpText,
  mergeConfig,
  parseCommandLine,
  readConfigFile,
} from "./config.js";
import { startDaemon } from "./daemon.js";
import { settingOf } from "./engine-settings.js";
import { inheritedSocket } from "./listen.js";
import { packageVersion } from "./package-files.js";

const USAGE_EXIT = 2;

async function main(): Promise<void> {
  const socket = inheritedSocket(process.env, process.pid);
  const strays = closeStrayDescriptors(socket === undefined ? [] : [socket]);
  const commandLine = parseCommandLine(process.argv.slice(2));
  if (commandLine.help) return void process.stdout.write(helpText());
  if (commandLine.version) return void process.stdout.write(`kilnd ${packageVersion()}\n`);
  const config = await readConfig(commandLine);
  const log = loggerOf(config);
  if (strays.length > 0)
    log.info("closed descriptors that kilnd was started with", { fds: strays.join(",") });
  // Every room says the mode of what it makes: private, or readable for VMMs that run as users of their own. A umask of
  // 077 (systemd's, a careful user's) would close the latter.
  process.umask(0o022);
  const daemon = await startDaemon(config, process.env, log);
  endOnSignals(daemon.close, log);
}

function readConfig(commandLine: CommandLine): Promise<Config> {
  const { config } = kilnPaths(process.env, process.getuid?.() ?? 0);
  const named = commandLine.file ?? process.env.KILN_CONFIG;
  const file = readConfigFile(named ?? join(config, "config.toml"), named !== undefined);
  return file.then((values) => mergeConfig(commandLine.flags, process.env, values));
}

function loggerOf(config: Config): Logger {
  return createLogger({
    level: (settingOf(config, "log.level") ?? "info") as Level,
    format: settingOf(config, "log.format") === "json" ? "json" : "logfmt",
  });
}

/** VMs go on in every case; the second signal does not wait for an orderly end. */
function endOnSignals(close: () => Promise<void>, log: Logger): void {
  let ending = false;
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => {
      if (ending) process.exit(1);
      ending = true;
      log.info("kilnd ends, VMs go on", { signal });
      close().then(
        () => process.exit(0),
        () => process.exit(1),
      );
    });
  }
  // The terminal of whoever started us may go: kilnd stays.
  process.on("SIGHUP", () => undefined);
  process.on("unhandledRejection", (error) => {
    log.error("a task failed that nobody waits for", {
      why: error instanceof Error ? (error.stack ?? "") : String(error),
    });
  });
}

main().catch((error: unknown) => {
  const known = KilnError.from(error);
  process.stderr.write(`kilnd: ${known.message}\n${known.hint === undefined ? "" : `hint: ${known.hint}\n`}`);
  process.exit(known.code === Code.InvalidArgument ? USAGE_EXIT : 1);
});
