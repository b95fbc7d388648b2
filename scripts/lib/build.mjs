// Builds what runs: node_modules, dist/ (tsc), agent/target and dist/bin (cargo), the commands in node_modules/.bin. Each step is
// skipped while its inputs are unchanged.

import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { dirname, join, relative } from "node:path";
import { writeCommonJsTypes } from "./cts-types.mjs";
import { PATHS, ROOT } from "./paths.mjs";
import { findProgram, run, SetupError } from "./run.mjs";
import { hashInputs, isFresh, listFiles, removeStamp, writeStamp } from "./stamps.mjs";
import { step } from "./step.mjs";

const SDK_TYPES = `${ROOT}/dist/src/sdk/index.d.ts`;
const MIN_NODE = [20, 19];
const COMMANDS = { kiln: PATHS.kiln, kilnd: PATHS.daemon };
const RUSTUP =
  "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal && . ~/.cargo/env";

export function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if (major > MIN_NODE[0] || (major === MIN_NODE[0] && minor >= MIN_NODE[1])) return;
  throw new SetupError(`kiln needs Node ${MIN_NODE.join(".")} or later; this is ${process.versions.node}`);
}

/** `npm ci` where node_modules is not what package-lock.json says. */
export async function ensureNodeModules() {
  if (installedAsLocked()) return;
  await step("npm ci", () =>
    run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], {
      cwd: ROOT,
      quiet: true,
    }),
  );
}

/** npm keeps what it installed in node_modules/.package-lock.json. */
function installedAsLocked() {
  const installed = readLock(`${ROOT}/node_modules/.package-lock.json`);
  const locked = readLock(`${ROOT}/package-lock.json`);
  if (installed === undefined || locked === undefined) return false;
  return Object.entries(locked).every(([path, wanted]) => {
    if (path === "") return true;
    const have = installed[path];
    return have === undefined ? wanted.optional === true : have.version === wanted.version;
  });
}

function readLock(path) {
  return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")).packages : undefined;
}

/** Compiles src, test, bench and the examples to dist/, and removes what no source stands behind any more. */
export async function ensureCompiled() {
  const sources = listFiles(["src", "test", "bench", "docs/examples"], (path) => path.endsWith(".ts"));
  const hash = hashInputs([...sources, "tsconfig.json", "package-lock.json"]);
  if (isFresh("tsc", hash, [SDK_TYPES.replace(/ts$/, "cts")])) return;
  await step("compile TypeScript", async () => {
    removeStamp("tsc");
    removeOrphans(new Set(sources));
    await run(process.execPath, [`${ROOT}/node_modules/typescript/bin/tsc`, "-p", ROOT], { cwd: ROOT });
    writeCommonJsTypes(SDK_TYPES);
    writeStamp("tsc", hash);
  });
}

/** Without it, the test of a deleted source would go on running. */
function removeOrphans(sources) {
  const outputs = listFiles(["dist"], (path) => /\.(js|d\.ts|js\.map)$/.test(path));
  for (const output of outputs) {
    const source = relative("dist", output).replace(/\.(js|d\.ts|js\.map)$/, ".ts");
    if (!sources.has(source)) rmSync(join(ROOT, output));
  }
}

const RUST_OUTPUTS = [
  ...[
    PATHS.agent,
    PATHS.netguard,
    PATHS.lease,
    PATHS.sendfd,
    PATHS.share,
    PATHS.tap,
    PATHS.treewalk,
    PATHS.posix,
    PATHS.front,
  ],
];
const STATIC = ["--", "-C", "target-feature=+crt-static"];
const staticProgram = (crate, bin) => [
  "rustc",
  "--quiet",
  "--release",
  "--locked",
  "-p",
  crate,
  "--bin",
  bin,
  ...STATIC,
];
/** The agent's own alias (agent/.cargo/config.toml), the guard that is preloaded into QEMU, the server of shares, what hands
 * files to QEMU, what makes taps, what gives leases, the tests' tree lister and probe of file systems, the `kiln` command. */
const CARGO = [
  ["--quiet", "agent"],
  ["build", "--quiet", "--release", "--locked", "-p", "kiln-netguard"],
  staticProgram("kiln-share", "kiln-share"),
  staticProgram("kiln-sendfd", "kiln-sendfd"),
  staticProgram("kiln-tap", "kiln-tap"),
  staticProgram("kiln-lease", "kiln-lease"),
  staticProgram("kiln-treewalk", "kiln-treewalk"),
  staticProgram("kiln-posix", "kiln-posix"),
  staticProgram("kiln-front", "kiln"),
];

/** Builds all that is Rust. */
export async function ensureRust() {
  const isInput = (path) => /\.(rs|toml|lock|proto)$/.test(path);
  const sources = listFiles(["agent", "proto/kiln/agent"], isInput, (path) => path === "agent/target");
  const hash = hashInputs(sources);
  if (isFresh("cargo", hash, [...RUST_OUTPUTS, PATHS.kiln])) return;
  requireCargo();
  await step("build the guest agent and the kiln command (cargo)", async () => {
    removeStamp("cargo");
    for (const args of CARGO) await run("cargo", args, { cwd: `${ROOT}/agent` });
    for (const output of RUST_OUTPUTS) {
      if (!existsSync(output)) throw new SetupError(`cargo ended well but did not make ${output}`);
    }
    install(PATHS.front, PATHS.kiln);
    writeStamp("cargo", hash);
  });
}

/** By rename: the old one may be running, and then cannot be written to. */
function install(from, to) {
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(from, `${to}.new`);
  chmodSync(`${to}.new`, 0o755);
  renameSync(`${to}.new`, to);
}

function requireCargo() {
  if (findProgram("cargo") !== undefined) return;
  throw new SetupError(
    `The guest agent and the kiln command are written in Rust, and there is no cargo (Debian 12's own is too old). Bring it, then run this again:\n\n  ${RUSTUP}\n`,
  );
}

/** `npx kiln` and `npx kilnd` in the checkout. */
export function linkCommands() {
  const bin = `${ROOT}/node_modules/.bin`;
  mkdirSync(bin, { recursive: true });
  for (const [name, target] of Object.entries(COMMANDS)) {
    if (!existsSync(target)) continue;
    chmodSync(target, 0o755);
    const link = `${bin}/${name}`;
    rmSync(link, { force: true });
    symlinkSync(relative(dirname(link), target), link);
  }
}
