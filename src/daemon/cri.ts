// The socket on which Kubernetes finds kilnd, where the setting `cri` names one.

import type { Interceptor } from "@connectrpc/connect";
import type { Logger } from "../base/log.js";
import type { UndoStack } from "../base/undo.js";
import { type CriFacts, createCri } from "../cri/index.js";
import type { Engine } from "../engine/index.js";
import type { Config } from "./config.js";
import { settingOf } from "./engine-settings.js";
import { listenAtPath } from "./listen.js";
import { createProtocolServer } from "./protocol-server.js";
import { parseSocket } from "./settings-table.js";

/** A pod may have any of the host's directories, so whoever may make one is root: the API's group is not enough. */
const GROUP = "root";

export interface CriParts {
  readonly engine: Engine;
  readonly facts: CriFacts;
  /** The API's: they make statuses of errors, and wait for the engine's state. */
  readonly interceptors: readonly Interceptor[];
  readonly log: Logger;
  /** What takes it down again. */
  readonly steps: UndoStack;
}

export async function openCri(config: Config, parts: CriParts): Promise<void> {
  const path = parseSocket("cri", settingOf(config, "cri") ?? "");
  if (path === undefined) return;
  const { engine, facts, log, steps } = parts;
  const cri = createCri(engine, facts);
  const interceptors = [...parts.interceptors, ...cri.interceptors];
  const server = createProtocolServer({ routes: cri.routes, interceptors, log });
  const listening = await listenAtPath(server.socket, { path, group: GROUP, flag: "--cri", log });
  steps.push("remove the CRI socket", () => listening.unlink());
  steps.push("close the CRI connections", () => server.close());
  log.info("kilnd answers Kubernetes", { socket: listening.path });
}
