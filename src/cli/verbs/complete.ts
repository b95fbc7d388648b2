// The hidden `kiln __complete`: candidates for the shells' completion scripts.

import { shortId } from "../../base/ids.js";
import type { Kiln, ListProcessesOptions } from "../../sdk/index.js";
import { defineCommand } from "../command.js";
import { type AskNames, type Candidate, completeWords } from "../complete.js";
import type { Context } from "../context.js";
import { familiarImage, wordsText } from "../render/names.js";
import { safeLine } from "../render/safe-text.js";

const LATEST = ":latest";

/** Whoever presses the tab key does not wait longer. */
const PATIENCE_MS = 300;
/** Whose programs are asked for where no VM is named yet. */
const MOST_VMS = 32;

export const command = defineCommand({
  description: "\nPrints completion candidates for the words after it.\n",
  operands: [{ name: "[WORD...]" }],
  stopAtOperand: true,
  flags: {},
  examples: [],
  async run(context, { operands }) {
    const { candidates, files } = await completeWords(
      operands.length === 0 ? [""] : operands,
      askKilnd(context, operands.at(-1) ?? ""),
    );
    const lines = candidates.map(({ value, text }) => `${safeLine(value)}\t${safeLine(text)}\n`);
    await context.stdout.write(`${lines.join("")}${files ? ":files" : ":none"}\n`);
    return 0;
  },
});

/** Names from a running kilnd. None is started for it, and no failure may disturb the command line. */
function askKilnd(context: Context, typed: string): AskNames {
  return async (kind, operands) => {
    try {
      const limit = { timeoutMs: PATIENCE_MS };
      const kiln = await context.connect({ start: false });
      if (kind === "image") return imageNames(await kiln.images.list(limit), typed);
      if (kind === "kernel") {
        return (await kiln.kernels.list(limit)).map(({ name, release }) => ({ value: name, text: release }));
      }
      if (kind === "exec" || kind === "running-exec")
        return await execNames(kiln, operands[0], { ...limit, all: kind === "exec" });
      const vms = await kiln.vms.list({ ...limit, all: kind === "vm" });
      return vms.map(({ name, config, status }) => ({
        value: name,
        text: `${familiarImage(config.image)}, ${status.state}`,
      }));
    } catch {
      return []; // completion without names is still completion
    }
  };
}

/** Of the VM where one is named already, else of all. */
async function execNames(
  kiln: Kiln,
  vm: string | undefined,
  options: ListProcessesOptions,
): Promise<readonly Candidate[]> {
  const names = vm === undefined ? (await kiln.vms.list(options)).map(({ name }) => name) : [vm];
  const lists = names.slice(0, MOST_VMS).map(async (name) => {
    const execs = await kiln.vms.ref(name).processes.list(options);
    return execs.map(({ id, config, status }) => ({
      value: shortId(id),
      text: `${vm === undefined ? `${name}: ` : ""}${wordsText(config.args)}, ${status.state}`,
    }));
  });
  return (await Promise.all(lists)).flat();
}

function imageNames(images: readonly { readonly names: readonly string[] }[], typed: string): Candidate[] {
  const forms = new Set(images.flatMap(({ names }) => names.flatMap((name) => formsOf(name, typed))));
  return [...forms].map((value) => ({ value, text: "" }));
}

/** As people write it, and without the tag that goes without saying. As kiln keeps it for those who write it so. */
function formsOf(name: string, typed: string): string[] {
  const forms = typed.includes("/") ? [familiarImage(name), name] : [familiarImage(name)];
  return forms.flatMap((form) => (form.endsWith(LATEST) ? [form.slice(0, -LATEST.length), form] : [form]));
}
