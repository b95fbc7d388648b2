// npm start: set-up, then Debian from its own packages, fired into a microVM by the real CLI and daemon. Works in a
// KILN_ROOT of its own and leaves no process behind.

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { accessSync, chmodSync, constants, lstatSync, mkdirSync, statSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { kernelPackages, ownKernel } from "./lib/kernel.mjs";
import { PATHS, ROOT } from "./lib/paths.mjs";
import { capture, main, run, SetupError } from "./lib/run.mjs";
import { setup } from "./lib/setup.mjs";
import { say, step } from "./lib/step.mjs";

const LAYOUT = `oci:${PATHS.images}/debian:bookworm`;
/** What kiln calls an image that comes from a directory of that name. */
const IMAGE = "localhost/debian:bookworm";
const SHOW = "uname -a && cat /etc/os-release";
/** Socket paths hold 107 bytes (unix(7)), and a VM's sockets lie some 50 below the root. */
const MAX_ROOT = 56;

await main(async () => {
  const started = Date.now();
  await setup();
  const root = chooseRoot();
  // The very node of this script: another one on PATH may be too old.
  const env = { KILN_ROOT: root, KILN_NODE: process.execPath };
  const kiln = (...args) => capture(PATHS.kiln, args, { env });
  const must = (...args) => {
    const { code, stderr } = kiln(...args);
    if (code !== 0) throw new SetupError(`kiln ${args.join(" ")} failed:\n${stderr}`);
  };
  const daemon = await startDaemon(root, env);
  try {
    await giveKernels(kiln, must);
    if (kiln("image", "inspect", IMAGE).code !== 0) {
      await step("give kiln the image", () => must("pull", "--quiet", LAYOUT));
    }
    say(`==> kiln run --rm ${IMAGE} sh -c '${SHOW}'`);
    const booted = Date.now();
    await run(PATHS.kiln, ["run", "--rm", IMAGE, "sh", "-c", SHOW], { env });
    process.stdout.write(
      `\nA microVM booted, ran this and ended in ${seconds(booted)} s; all of npm start took ${seconds(started)} s.\n`,
    );
    // The same root: its image and kernels are there, an own root would fetch Debian's kernel anew.
    say(`Go on with:  KILN_ROOT=${root} npx kiln run -it --rm ${IMAGE} bash`);
  } finally {
    await stopDaemon(daemon);
  }
});

/** Debian's, and kiln's own where it was built for this configuration: kiln itself then chooses. */
async function giveKernels(kiln, must) {
  const there = kiln("kernel", "ls", "-q", "--no-trunc").stdout.split("\n");
  if (there.length < 2) {
    await step("give kiln Debian's kernel", () => must("kernel", "import", ...kernelPackages()));
  }
  const own = await ownKernel();
  if (own === undefined || there.includes(own.image)) return;
  await step("give kiln its own kernel", () =>
    must("kernel", "import", "--default", `${own.tree}/boot/vmlinux`),
  );
}

function seconds(since) {
  return ((Date.now() - since) / 1000).toFixed(1);
}

/**
 * Below .build/ where that does; in the temporary directory where the path is too long for sockets, or where root's
 * VMMs, which run without privileges, could not reach it (a checkout in /root).
 */
function chooseRoot() {
  const wanted = PATHS.startRoot;
  const reachable = process.getuid() !== 0 || isOpenToAll(ROOT);
  if (wanted.length <= MAX_ROOT && reachable) return makeRoot(wanted);
  const hash = createHash("sha256").update(ROOT).digest("hex").slice(0, 12);
  return makeRoot(join(tmpdir(), `kiln-start-${process.getuid()}-${hash}`));
}

function makeRoot(path) {
  mkdirSync(path, { recursive: true, mode: 0o755 });
  const info = lstatSync(path);
  if (!info.isDirectory() || info.uid !== process.getuid()) {
    throw new SetupError(`${path} is not a directory of yours: remove it and run this again`);
  }
  chmodSync(path, 0o755);
  return path;
}

function isOpenToAll(path) {
  if ((statSync(path).mode & 0o001) === 0) return false;
  return path === "/" || isOpenToAll(dirname(path));
}

/** A kilnd whose pid we know, so that exactly it is ended afterwards. */
async function startDaemon(root, env) {
  accessSync(PATHS.daemon, constants.R_OK);
  const child = spawn(process.execPath, [PATHS.daemon], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let log = "";
  child.stderr.on("data", (chunk) => {
    log = (log + chunk).slice(-8192);
  });
  const socket = join(root, "run/kiln.sock");
  while (!(await accepts(socket))) {
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new SetupError(`kilnd did not start:\n${log}`);
    }
    await delay(20);
  }
  return child;
}

function accepts(socket) {
  return new Promise((resolve) => {
    const probe = connect(socket);
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", () => resolve(false));
  });
}

async function stopDaemon(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  await ended;
}
