// kiln's own guest kernel for this checkout, built by the same code as `kiln kernel build` and kept below .build/kernel
// under the hash of everything that went into it: tests and CI never build it twice.

import { realpathSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { PATHS, ROOT } from "./paths.mjs";
import { SetupError } from "./run.mjs";
import { say, step } from "./step.mjs";

/** Needs dist/ to be there. */
export async function openBuilder() {
  const { createKernelBuilder } = await import(`${ROOT}/dist/src/kernel/index.js`);
  const builder = createKernelBuilder({
    directory: PATHS.kernels,
    fragments: `${ROOT}/kernel`,
    workDirectory: chooseWork(),
  });
  await builder.open();
  return builder;
}

/** Root's builds run without privileges: they can't enter a checkout in /root. */
function chooseWork() {
  if (process.getuid() !== 0 || isOpenToAll(realpathSync(dirname(PATHS.kernels)))) return undefined;
  return join(tmpdir(), "kiln-kernel-work");
}

function isOpenToAll(path) {
  if ((statSync(path).mode & 0o001) === 0) return false;
  return path === "/" || isOpenToAll(dirname(path));
}

/** Builds it where it is not there; a cold build takes about a quarter of an hour on two cores. */
export async function ensureOwnKernel(builder, request = {}) {
  if (request.cache !== false && request.version === undefined) {
    const [built] = await builder.current(request.architecture);
    if (built !== undefined) return built;
  }
  return await step("build kiln's own kernel (about 15 minutes on two cores)", async () =>
    describe(await builder.build(request, { onProgress: reporter() })),
  );
}

/** Whether every line of the fragments survives `make olddefconfig`: a minute. */
export async function checkConfiguration(builder, request) {
  await step("check the kernel's configuration", () => builder.check(request, { onProgress: reporter() }));
}

/** Two builds in two directories, compared byte by byte (by their hashes). */
export async function buildTwice(builder, request) {
  const results = [];
  for (const time of ["first", "second"]) {
    results.push(
      await step(`build the kernel for the ${time} time`, async () =>
        describe(await builder.build({ ...request, cache: false }, { onProgress: reporter() })),
      ),
    );
  }
  const [first, second] = results;
  if (first.image !== second.image || first.config !== second.config) {
    throw new SetupError(`two builds gave different bytes: ${first.image} and ${second.image}`);
  }
  say(`both builds gave the same bytes: sha256:${first.image}`);
}

function describe(built) {
  const { release, architecture, key, image, imageBytes, objects, seconds } = built;
  say(
    `    Linux ${release} ${architecture}: ${(imageBytes / 1e6).toFixed(1)} MB, sha256:${image}\n` +
      `    ${objects} objects in ${seconds} s, key ${key.slice(0, 12)}`,
  );
  return built;
}

/** A line for each step, and one at each tenth of the compiling. */
function reporter() {
  let last = "";
  return ({ id, status, current = 0, total = 0, unit, message = "" }) => {
    const tenth =
      unit === undefined
        ? ""
        : ` ${Math.floor((10 * current) / Math.max(total, 1)) * 10} % of ${total} ${unit}`;
    const line = `    ${id}: ${status}${message === "" ? "" : ` ${message}`}${tenth}`;
    if (line !== last) say(line);
    last = line;
  };
}
