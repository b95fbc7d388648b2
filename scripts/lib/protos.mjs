// What buf says of protos: whether they keep its rules, and whether they are still understood by what was released.

import { existsSync, readdirSync } from "node:fs";
import { ROOT } from "./paths.mjs";
import { capture } from "./run.mjs";

const BUF = `${ROOT}/node_modules/.bin/buf`;

/**
 * What is wrong with the protos of a directory that has a buf.yaml: nothing, or one text for each problem.
 *
 * @param {string} directory
 * @param {string} released where the descriptors of releases lie, `<version>.binpb` each
 */
export function protoProblems(directory, released) {
  const versions = existsSync(released)
    ? readdirSync(released).filter((name) => name.endsWith(".binpb"))
    : [];
  if (versions.length === 0) return [`no released descriptor in ${released}`];
  return [
    ...problems(["lint"], directory),
    ...versions.flatMap((name) =>
      problems(["breaking", "--against", `${released}/${name}`], directory).map(
        (problem) => `breaks with ${name.replace(/\.binpb$/, "")}: ${problem}`,
      ),
    ),
  ];
}

function problems(args, cwd) {
  const { code, stdout, stderr } = capture(BUF, args, { cwd });
  if (code === 0) return [];
  const lines = stdout.split("\n").filter((line) => line !== "");
  return lines.length > 0 ? lines : [`buf ${args[0]} failed: ${stderr.trim()}`];
}
