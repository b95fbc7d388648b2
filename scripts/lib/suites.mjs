// Which test files there are and which of them were asked for. Tests run compiled: dist/src/x.test.js.

import { ROOT } from "./paths.mjs";
import { SetupError } from "./run.mjs";
import { listFiles } from "./stamps.mjs";

const HEAVY = /(daemon-recovery|daemon-vmm-death|hostile-guest-\w+|many|many-clients)\.test\.ts$/;

/**
 * In the order in which they run. `serial`: one file at a time. Else files share the machine, but for those that
 * `alone` names: they load it fully by themselves, or look at what a loaded one would blur. `first` are the longest,
 * so that none of them is left over at the end.
 */
const SUITES = [
  { name: "scripts", place: "scripts", serial: false, timeoutMs: 5 * 60_000 },
  { name: "unit", place: "src", serial: false, timeoutMs: 5 * 60_000 },
  { name: "contract", place: "test/contract", serial: true, timeoutMs: 15 * 60_000 },
  { name: "conformance", place: "test/conformance", serial: true, timeoutMs: 15 * 60_000 },
  {
    name: "e2e",
    place: "test/e2e",
    serial: false,
    timeoutMs: 20 * 60_000,
    first: /(tree|many-in-a-row)\.test\.ts$/,
    alone: HEAVY,
  },
  // The same files again on the Firecracker driver. Only asked for by its own name, not by a file's. Without a name
  // those run that are about VMs; by name all do (`npm test -- e2e-firecracker`).
  {
    name: "e2e-firecracker",
    place: "test/e2e",
    serial: false,
    timeoutMs: 20 * 60_000,
    alone: HEAVY,
    vmm: "firecracker",
    unlessNamed: /(apps|daemon-recovery|daemon-vmm-death|cli-run|cli-exec|jail)\.test\.ts$/,
  },
  // Real programs on shared directories, an hour under software emulation, from an image that nothing else needs.
  {
    name: "e2e-shares",
    place: "test/e2e-shares",
    serial: true,
    timeoutMs: 60 * 60_000,
    onlyNamed: true,
    images: ["programs"],
  },
  // Kubernetes' own tests of a runtime, which are built of Go modules first.
  {
    name: "conformance/critest",
    place: "test/critest",
    serial: true,
    timeoutMs: 15 * 60_000,
    onlyNamed: true,
    critest: true,
  },
];
/** cargo's tests, which are no node:test suite. */
const AGENT_SUITE = "agent";

/**
 * What to run for some selectors: a suite ("e2e"), part of one ("e2e/ports", "unit/kernel"), or a file
 * ("src/kernel/cpio.test.ts"). None selects everything but what only its name brings.
 *
 * @returns {{ suites: { suite: object, files: string[] }[], agent: boolean, images: string[], critest: boolean }}
 *   files: absolute, compiled; images: Debian images that these suites need beside all others'; critest: whether they need that
 */
export function selectTests(selectors, suites = listSuites()) {
  const chosen = suites.map(({ suite, files }) => ({
    suite,
    files: files.filter((file) =>
      selectors.length === 0
        ? !suite.onlyNamed && (suite.unlessNamed?.test(file) ?? true)
        : selectors.some((s) => matches(suite, file, s)),
    ),
  }));
  const agent = selectors.length === 0 || selectors.includes(AGENT_SUITE);
  for (const selector of selectors) {
    const known =
      selector === AGENT_SUITE ||
      suites.some(({ suite, files }) => files.some((file) => matches(suite, file, selector)));
    if (!known) throw new SetupError(`no test is called ${selector}; suites: ${suiteNames().join(", ")}`);
  }
  const needed = chosen.filter(({ files }) => files.length > 0);
  return {
    agent,
    images: needed.flatMap(({ suite }) => suite.images ?? []),
    critest: needed.some(({ suite }) => suite.critest === true),
    suites: needed.map(({ suite, files }) => ({ suite, files: files.map(compiled) })),
  };
}

/**
 * The files of a suite in the waves in which they run.
 *
 * @returns {{ files: string[], shared: boolean }[]} shared: several files at a time
 */
export function planWaves(suite, files) {
  if (suite.serial) return [{ files, shared: false }];
  const source = (file) => file.replace(/\.js$/, ".ts");
  const isFirst = (file) => suite.first?.test(source(file)) ?? false;
  const isAlone = (file) => suite.alone?.test(source(file)) ?? false;
  const shared = files.filter((file) => !isAlone(file));
  const ordered = [...shared.filter(isFirst), ...shared.filter((file) => !isFirst(file))];
  return [
    { files: ordered, shared: true },
    { files: files.filter(isAlone), shared: false },
  ].filter((wave) => wave.files.length > 0);
}

function suiteNames() {
  return [...SUITES.map((suite) => suite.name), AGENT_SUITE];
}

function listSuites() {
  return SUITES.map((suite) => ({
    suite,
    files: listFiles([suite.place], (path) => /\.test\.(ts|mjs)$/.test(path)),
  }));
}

function matches(suite, file, selector) {
  const plain = selector
    .replace(/^\.\//, "")
    .replace(/^dist\//, "")
    .replace(/(\.test)?\.(ts|js|mjs)$/, "");
  const stem = file.replace(/\.test\.(ts|mjs)$/, "");
  const named = suite.vmm === undefined;
  if (plain === suite.name) return true;
  if (named && (plain === stem || stem.startsWith(`${plain.replace(/\/$/, "")}/`))) return true;
  const rest = plain.startsWith(`${suite.name}/`) ? plain.slice(suite.name.length + 1) : undefined;
  return rest !== undefined && `${stem}/`.startsWith(`${suite.place}/${rest}/`);
}

function compiled(file) {
  // The scripts' own tests run as they are: they come before any build.
  return file.endsWith(".mjs") ? `${ROOT}/${file}` : `${ROOT}/dist/${file.replace(/\.ts$/, ".js")}`;
}
