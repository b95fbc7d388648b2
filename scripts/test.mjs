// npm test [-- SELECTOR...]: set-up, then the tests, then one summary in node:test's words.
//
// Selectors: scripts, unit, contract, conformance, e2e, e2e-firecracker, e2e-shares, conformance/critest, agent; part of
// one (e2e/ports); a file (src/kernel/cpio.test.ts). e2e runs on the VMM that kiln chooses here; e2e-firecracker on the Firecracker driver: a
// real one where KILN_FIRECRACKER names it, the stand-in of test/firecracker-standin otherwise. Both boot Debian's
// kernel, or with KILN_TEST_KERNEL=kiln kiln's own. e2e-shares and conformance/critest are only run where they are named.

import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { run as runNodeTests } from "node:test";
import { spec } from "node:test/reporters";
import { parseArgs } from "node:util";
import { ROOT } from "./lib/paths.mjs";
import { findProgram, main, run, SEARCH_PATH } from "./lib/run.mjs";
import { setup } from "./lib/setup.mjs";
import { say } from "./lib/step.mjs";
import { planWaves, selectTests } from "./lib/suites.mjs";

const COUNTS = ["tests", "suites", "pass", "fail", "cancelled", "skipped", "todo"];

await main(async () => {
  const { positionals } = parseArgs({ allowPositionals: true });
  const started = Date.now();
  const { suites, agent, images, critest } = selectTests(positionals);
  await setup({ tests: true, images, critest });
  // Tests find cargo, e2fsck and depmod where set-up found them.
  process.env.PATH = SEARCH_PATH.join(":");
  const total = Object.fromEntries(COUNTS.map((name) => [name, 0]));
  const failures = [];

  if (agent && !(await passesCargoTest())) {
    total.tests++;
    total.fail++;
    failures.push("cargo test (agent/)");
  }
  for (const { suite, files } of suites) {
    say(`\n==> ${suite.name}: ${files.length} files`);
    const environment = await environmentOf(suite);
    for (const wave of planWaves(suite, files)) {
      const result = await withEnvironment(environment, () => runWave(suite, wave));
      for (const name of COUNTS) total[name] += result.counts[name];
      failures.push(...result.failures.map((name) => `${suite.name}: ${name}`));
    }
  }

  if (failures.length > 0) {
    process.stdout.write(`\nfailed:\n${failures.map((name) => `  ${name}\n`).join("")}`);
  }
  process.stdout.write("\n");
  for (const name of COUNTS) process.stdout.write(`# ${name} ${total[name]}\n`);
  process.stdout.write(`# duration_ms ${Date.now() - started}\n`);
  const bad = total.fail + total.cancelled + failures.length;
  // A suite that ran nothing shows nothing.
  process.exit(bad === 0 && total.tests > 0 ? 0 : 1);
});

/** Settings of every kilnd that the suite's tests start, and the kernel of their VMs where a test names none. */
async function environmentOf({ place, vmm }) {
  if (place !== "test/e2e") return {};
  // Every guest test passes on Debian's kernel; those about kiln's own ask for that one, and those that boot very often.
  const kernel = { KILN_TEST_KERNEL: process.env.KILN_TEST_KERNEL ?? "debian" };
  return vmm === "firecracker" ? { ...kernel, ...(await firecrackerEnvironment()) } : kernel;
}

async function firecrackerEnvironment() {
  const vmm = "firecracker";
  if (process.env.KILN_FIRECRACKER !== undefined) return { KILN_VMM: vmm };
  const { installStandin, standinFiles } = await import(`${ROOT}/dist/test/firecracker-standin/install.js`);
  // Not below the checkout: VMMs with a user of their own run it too.
  const directory = mkdtempSync(join(tmpdir(), "kiln-standin-"));
  chmodSync(directory, 0o755);
  process.once("exit", () => rmSync(directory, { recursive: true, force: true }));
  const program = await installStandin(directory);
  // The stand-in says nothing about KVM, so there is nothing to try out.
  const files = (await standinFiles(directory)).join(":");
  return {
    ...{ KILN_VMM: vmm, KILN_FIRECRACKER: program, KILN_FIRECRACKER_FILES: files },
    KILN_TRUST_FIRECRACKER: "yes",
  };
}

/** node:test's children inherit this process's environment. */
async function withEnvironment(variables, body) {
  const before = { ...process.env };
  Object.assign(process.env, variables);
  try {
    return await body();
  } finally {
    for (const name of Object.keys(variables)) {
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
    }
  }
}

async function runWave(suite, { files, shared }) {
  const counts = Object.fromEntries(COUNTS.map((name) => [name, 0]));
  const failures = [];
  // Node's children take these words over. The scripts' own tests come before any build.
  const preload = `--import=file://${ROOT}/dist/test/fixtures/case-deadline.js`;
  process.execArgv = suite.name === "scripts" ? [] : [preload];
  // Two hundred runs in a row are one case: 11 minutes of a file's 20, more with another file beside it.
  process.env.KILN_TEST_CASE_MS = String(suite.timeoutMs * 0.9);
  const stream = runNodeTests({
    files,
    concurrency: shared ? availableParallelism() : 1,
    timeout: suite.timeoutMs,
  });
  stream.on("test:diagnostic", ({ message, nesting }) => {
    // node:test's own closing lines: counted by it, not by us.
    const match = /^(\w+) (\d+)$/.exec(message);
    if (nesting === 0 && match !== null && COUNTS.includes(match[1])) counts[match[1]] += Number(match[2]);
  });
  stream.on("test:fail", ({ name, file, details }) => {
    if (details.type === "suite") return;
    if (details.error?.failureType !== "subtestsFailed") failures.push(`${relativeName(file)} ${name}`);
  });
  stream.on("test:stderr", ({ message, file }) => {
    const name = /^case that did not end: (.*)$/m.exec(message)?.[1];
    if (name !== undefined) failures.push(`${relativeName(file)} ${name}: did not end`);
  });
  const printed = stream.compose(new spec());
  printed.pipe(process.stdout, { end: false });
  await new Promise((resolve, reject) => {
    printed.once("end", resolve);
    printed.once("error", reject);
  });
  return { counts, failures };
}

function relativeName(file) {
  return file === undefined ? "" : file.replace(`${ROOT}/dist/`, "").replace(/\.js$/, ".ts");
}

async function passesCargoTest() {
  if (findProgram("cargo") === undefined) {
    say("\n==> agent: skipped, there is no cargo (the agent was built before)");
    return true;
  }
  say("\n==> agent: cargo test");
  try {
    await run("cargo", ["test", "--quiet", "--locked"], { cwd: `${ROOT}/agent` });
    return true;
  } catch (error) {
    say(error.message);
    return false;
  }
}
