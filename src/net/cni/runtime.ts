// The verbs of a network over its list of plugins, as libcni does them: ADD and CHECK in order, each plugin given what the one
// before it answered; DEL in reverse, each given what all of ADD came to, and to the end whatever one of them says.

import { Code, KilnError } from "../../base/errors.js";
import { failpoint } from "../../base/failpoint.js";
import type { JsonObject } from "../../base/versioned.js";
import { type CniNetwork, isAtLeast } from "./conflist.js";
import {
  type CniAttachment,
  type CniCommand,
  hasVerb,
  planCallConfig,
  planCallEnvironment,
  planGcConfig,
  planStatusConfig,
} from "./plan-call.js";
import { findPlugin, runPlugin } from "./plugin.js";
import { parseResultText } from "./result.js";

export interface CniRuntimeOptions {
  /** Directories of plugins, in order. */
  readonly plugins: readonly string[];
  /** Of each plugin's call. */
  readonly timeoutMs: number;
  /** Of every plugin's process. */
  readonly environment?: Readonly<Record<string, string>> | undefined;
  /** What goes before a plugin's command, asked at each call; none: it runs where this does. */
  readonly prefix?: (() => Promise<readonly string[]>) | undefined;
}

/** The spec's, of a version or a verb that a plugin does not know. */
const UNKNOWN: readonly string[] = ["1", "3", "4"];

type Key = Pick<CniAttachment, "containerId" | "ifName">;

export class CniRuntime {
  readonly #options: CniRuntimeOptions;

  constructor(options: CniRuntimeOptions) {
    this.#options = options;
  }

  /** That all plugins of a network are there. @throws KilnError as `findPlugin` */
  async requirePlugins({ plugins }: CniNetwork): Promise<void> {
    for (const { type } of plugins) await findPlugin(this.#options.plugins, type);
  }

  /** That they could add somebody, as they say. @throws KilnError as `runPlugin` */
  async #status(network: CniNetwork): Promise<void> {
    if (!hasVerb(network, "STATUS")) return;
    for (const plugin of network.plugins) {
      const config = planStatusConfig(network, plugin);
      await this.#call("STATUS", network, plugin.type, config, undefined).catch((error: unknown) => {
        // One of an older version says so better when it is to add.
        if (!UNKNOWN.includes(KilnError.from(error).details.code ?? "")) throw error;
      });
    }
  }

  /**
   * Where it fails, what was added is there still: whoever called it calls `del`.
   *
   * @param keep told of what each plugin has answered, before the next one is called: without it DEL leaks what that one adds
   * @returns the last plugin's result
   * @throws KilnError as `findPlugin` and `runPlugin`; failed_precondition `cni-failed` for an answer that is none
   */
  async add(
    network: CniNetwork,
    attachment: CniAttachment,
    keep: (result: JsonObject) => Promise<void>,
  ): Promise<JsonObject> {
    await this.requirePlugins(network);
    await this.#status(network);
    let previous: JsonObject | undefined;
    for (const plugin of network.plugins) {
      const config = planCallConfig(network, plugin, attachment, previous);
      const text = await this.#call("ADD", network, plugin.type, config, attachment);
      const result = parseResultText(text);
      if (typeof result === "string") throw noResult(network, plugin.type, result);
      previous = result;
      await keep(result);
    }
    return previous ?? {};
  }

  /** @throws KilnError as `add`: what it was given is not as it was */
  async check(network: CniNetwork, attachment: CniAttachment, result: JsonObject): Promise<void> {
    if (!hasVerb(network, "CHECK")) return;
    for (const plugin of network.plugins) {
      const config = planCallConfig(network, plugin, attachment, result);
      await this.#call("CHECK", network, plugin.type, config, attachment);
    }
  }

  /**
   * Idempotent. Every plugin is called, whatever the others say.
   *
   * @param result the last one of `add`; undefined where that is not known
   * @throws KilnError the first failure
   */
  async del(network: CniNetwork, attachment: CniAttachment, result: JsonObject | undefined): Promise<void> {
    const previous = isAtLeast(network.cniVersion, "0.4.0") ? result : undefined;
    let failure: KilnError | undefined;
    for (const plugin of [...network.plugins].reverse()) {
      const config = planCallConfig(network, plugin, attachment, previous);
      await this.#call("DEL", network, plugin.type, config, attachment).catch((error: unknown) => {
        failure ??= KilnError.from(error);
      });
      failpoint("cni.unplugged");
    }
    if (failure !== undefined) throw failure;
  }

  /**
   * Tells plugins to forget all of a network but what is named. Other programs' attachments are lost by it as well: it is for
   * a network that is kiln's alone.
   *
   * @returns whether the network has that verb
   * @throws KilnError the first failure: those behind it were called all the same
   */
  async gc(network: CniNetwork, valid: readonly Key[]): Promise<boolean> {
    if (!hasVerb(network, "GC")) return false;
    let failure: KilnError | undefined;
    for (const plugin of network.plugins) {
      const config = planGcConfig(network, plugin, valid);
      await this.#call("GC", network, plugin.type, config, undefined).catch((error: unknown) => {
        failure ??= KilnError.from(error);
      });
    }
    if (failure !== undefined) throw failure;
    return true;
  }

  async #call(
    command: CniCommand,
    { name: network }: CniNetwork,
    type: string,
    config: JsonObject,
    attachment: CniAttachment | undefined,
  ): Promise<string> {
    const { plugins, timeoutMs, environment = {}, prefix = async () => [] } = this.#options;
    const argv = [...(await prefix()), await findPlugin(plugins, type)];
    const planned = { ...environment, ...planCallEnvironment(command, plugins, attachment) };
    return runPlugin(argv, { network, type, command, config, environment: planned }, timeoutMs);
  }
}

function noResult({ name }: CniNetwork, type: string, why: string): KilnError {
  const what = `CNI network ${name}: plugin ${type} answered ADD with what is no result: ${why}`;
  return new KilnError(Code.FailedPrecondition, what, {
    reason: "cni-failed",
    details: { plugin: type, command: "ADD" },
  });
}
