// `kiln volume create`.

import { nearest } from "../../base/suggest.js";
import { parseDiskSize } from "../../base/units.js";
import { defineCommand } from "../command.js";
import { printLine } from "../context.js";
import { list, text } from "../flags.js";
import { usageError } from "../usage-error.js";
import { pairsOf } from "../words-of-pairs.js";

const VERB = "volume create";
const OPTIONS = ["size"];

export const command = defineCommand({
  description: `
Makes a volume: a disk with an ext4 file system that VMs are given with -v, and that outlives them. Prints its name.
Without NAME it is called by its id, and \`kiln volume prune\` removes it as soon as no VM has it. It is sparse: only what is written
takes space of the host. One of that name that is there already is fine, unless another size is asked for.
`,
  operands: [{ name: "[NAME]" }],
  flags: {
    driver: text("DRIVER", "Where it lies", {
      short: "d",
      choices: ["local"],
      why: "volumes are disks of this host",
      hidden: true,
    }),
    label: list("NAME[=VALUE]", "A label", { short: "l" }),
    opt: list("NAME=VALUE", "As Docker writes it: size=SIZE", { short: "o" }),
    size: text("SIZE", "Of the disk", { fallback: "64g" }),
  },
  explainFlag: (name) =>
    name === "ignore" ? "a volume of that name that is there already is no failure" : undefined,
  examples: [
    { does: "make one", line: "kiln volume create data" },
    { does: "of 10 GiB, with a label", line: "kiln volume create --size 10g --label app=web data" },
    { does: "as Docker writes it", line: "kiln volume create -o size=10g data" },
  ],
  async run(context, { flags, operands: [name = ""] }) {
    const size = sizeOf(flags.size, flags.opt);
    const kiln = await context.connect();
    const volume = await kiln.volumes.create(name, { size, labels: pairsOf(VERB, "--label", flags.label) });
    await printLine(context, volume.name);
    return 0;
  },
});

function sizeOf(size: string | undefined, options: readonly string[]): number | undefined {
  const sizes = options.map(sizeOfOption);
  if (size !== undefined) sizes.push(parseDiskSize(size, "--size"));
  if (new Set(sizes).size > 1) throw usageError(VERB, "two sizes were given");
  return sizes[0];
}

function sizeOfOption(option: string): number {
  const cut = option.indexOf("=");
  const name = cut < 0 ? option : option.slice(0, cut);
  if (name === "size" && cut >= 0) return parseDiskSize(option.slice(cut + 1), "-o size");
  throw usageError(VERB, `there is no option "${option}" of volumes`, hintFor(name, option));
}

function hintFor(name: string, option: string): string {
  if (["type", "device", "o"].includes(name)) {
    return option === "type=tmpfs"
      ? "memory needs no volume: give --tmpfs PATH to `kiln run`"
      : "a directory or a device of the host needs no volume: give its path to -v of `kiln run`";
  }
  const near = name === "size" ? "size=SIZE" : nearest(name, OPTIONS);
  return near === undefined ? "there is size=SIZE" : `did you mean ${near}?`;
}
