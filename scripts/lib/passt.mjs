// passt, which connects a VM's network card to the host's network, built from the source package of a newer Debian:
// Debian 12's own lets a guest reach the host's loopback and repeats data (docs/design/0013-passt.md). apt brings the
// sources and checks them against Debian's signed index; the build is an ordinary one, by whoever runs it.

import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { PATHS, ROOT } from "./paths.mjs";
import { capture, findProgram, run, SetupError } from "./run.mjs";
import { hashInputs, isFresh, listFiles, removeStamp, writeStamp } from "./stamps.mjs";
import { say, step } from "./step.mjs";

const SUITE = "trixie";
const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";
const DEFAULT_MIRROR = "http://deb.debian.org/debian";
const NAMES = ["passt", "passt.avx2"];
/** What Debian's sources lack: each says why. */
const OWN_PATCHES = listFiles(["scripts/passt-patches"], (path) => path.endsWith(".patch"));

/** Builds it into .build where it is not there. @param needed false: a host that can't build it goes without */
export async function ensurePasst({ needed }) {
  const hash = hashInputs(["scripts/lib/passt.mjs", ...OWN_PATCHES]);
  if (isFresh("passt", hash, [`${PATHS.passt}/passt`])) return;
  removeStamp("passt");
  try {
    await step("build passt (half a minute)", () => buildPasst(PATHS.passt, PATHS.passtSources));
    writeStamp("passt", hash);
  } catch (error) {
    if (needed || !(error instanceof SetupError)) throw error;
    say(`${error.message}\n    going on without: VMs get no network card (\`kiln doctor\` says more)`);
  }
}

/**
 * passt and pasta, in `directory`.
 *
 * @param kept where the sources stay, so that they are fetched once
 */
export async function buildPasst(directory, kept) {
  const work = mkdtempSync(join(tmpdir(), "kiln-passt-"));
  try {
    const { version, archives } = await fetchSources(work, kept);
    const tree = join(work, "tree");
    await unpack(archives, tree);
    const programs = process.arch === "x64" ? NAMES : NAMES.slice(0, 1);
    // One after the other: made together, the first may be compiled with the second's AVX2 flags.
    for (const name of programs) {
      await run("make", ["-C", tree, "CC=gcc", `VERSION=${version}`, name], { quiet: true });
    }
    mkdirSync(directory, { recursive: true });
    for (const name of programs) install(join(tree, name), join(directory, name));
    // One program, two names: by which it is called decides what it is.
    for (const name of programs) link(name, join(directory, name.replace("passt", "pasta")));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** By rename: the old one may be running. */
function install(from, to) {
  copyFileSync(from, `${to}.new`);
  renameSync(`${to}.new`, to);
}

function link(to, path) {
  rmSync(path, { force: true });
  symlinkSync(to, path);
}

/** Upstream's archive and Debian's patches, of one version. */
function findArchives(directory) {
  const names = existsSync(directory) ? readdirSync(directory) : [];
  const debian = names
    .filter((name) => /^passt_[0-9A-Za-z.+~-]+\.debian\.tar\.xz$/.test(name))
    .sort()
    .at(-1);
  if (debian === undefined) return undefined;
  const version = debian.slice("passt_".length, -".debian.tar.xz".length);
  const orig = `passt_${version.replace(/-[^-]*$/, "")}.orig.tar.xz`;
  if (!names.includes(orig)) return undefined;
  return { version, archives: { orig: join(directory, orig), debian: join(directory, debian) } };
}

async function fetchSources(work, kept) {
  const there = findArchives(kept);
  if (there !== undefined) return there;
  if (findProgram("apt-get") === undefined || !existsSync(KEYRING)) {
    throw new SetupError(
      "passt is built from Debian's sources: elsewhere install one of August 2024 or newer",
    );
  }
  const mirrors = [...new Set([configuredMirror(), DEFAULT_MIRROR])].filter((uri) => uri !== undefined);
  const failures = [];
  for (const mirror of mirrors) {
    const fetched = fetchFrom(mirror, join(work, `apt-${failures.length}`));
    if (typeof fetched === "string") failures.push(fetched);
    else return keep(fetched, kept);
  }
  throw new SetupError(`The sources of passt can't be fetched:\n\n  ${failures.join("\n  ")}\n`);
}

/** The mirror that this machine has its Debian from. */
function configuredMirror() {
  const { code, stdout } = capture("apt-get", ["indextargets", "--format", "$(REPO_URI)", "Origin: Debian"]);
  if (code !== 0) return undefined;
  const uris = stdout.split("\n").map((line) => line.trim().replace(/\/$/, ""));
  return uris.find((uri) => /^https?:\/\/\S+\/debian$/.test(uri));
}

/** Through apt with lists and sources of its own: signature of the index, hashes of the files. A text: why not. */
function fetchFrom(mirror, directory) {
  const files = join(directory, "files");
  for (const part of ["lists/partial", "cache/archives/partial", "files"]) {
    mkdirSync(join(directory, part), { recursive: true });
  }
  const sources = join(directory, "sources.list");
  writeFileSync(sources, `deb-src [signed-by=${KEYRING}] ${mirror} ${SUITE} main\n`);
  const settings = [
    `Dir::Etc::SourceList=${sources}`,
    "Dir::Etc::SourceParts=-",
    `Dir::State::Lists=${directory}/lists`,
    `Dir::Cache=${directory}/cache`,
    "APT::Sandbox::User=root",
    "APT::Get::AllowUnauthenticated=false",
    "Acquire::AllowInsecureRepositories=false",
    "Acquire::Languages=none",
  ].flatMap((setting) => ["-o", setting]);
  // The .dsc is not needed: the signed index has the hashes of both archives.
  const calls = [["update"], ["source", "--download-only", "--tar-only", "passt"]];
  calls.push(["source", "--download-only", "--diff-only", "passt"]);
  for (const args of calls) {
    const { code, stderr } = capture("apt-get", ["-qq", ...settings, ...args], { cwd: files });
    // apt-get update ends well with an index that it could not get.
    if (code !== 0 || /^E:/m.test(stderr)) return `${mirror}: ${hint(stderr)}`;
  }
  return findArchives(files) ?? `${mirror}: apt brought no sources of passt`;
}

function hint(stderr) {
  const words = stderr.trim().split("\n").slice(-2).join("; ");
  return /NO_PUBKEY|not signed/.test(stderr) ? `${words} (update the package debian-archive-keyring)` : words;
}

function keep({ version, archives }, directory) {
  mkdirSync(directory, { recursive: true });
  const kept = {};
  for (const [part, path] of Object.entries(archives)) {
    kept[part] = join(directory, path.split("/").at(-1));
    install(path, kept[part]);
  }
  return { version, archives: kept };
}

async function unpack({ orig, debian }, tree) {
  mkdirSync(tree);
  await run("tar", ["-xJf", orig, "-C", tree, "--strip-components=1", "--no-same-owner"]);
  await run("tar", ["-xJf", debian, "-C", tree, "--no-same-owner"]);
  const patches = join(tree, "debian/patches");
  const series = existsSync(join(patches, "series")) ? readFileSync(join(patches, "series"), "utf8") : "";
  for (const line of series.split("\n")) {
    const name = line.replace(/#.*/, "").trim();
    if (name !== "") await run("patch", ["-s", "-p1", "-d", tree, "-i", join(patches, name)]);
  }
  for (const patch of OWN_PATCHES) await applyOwn(patch, tree);
}

/** A newer passt may have it mended, or be changed there: it is then taken as it is. */
async function applyOwn(patch, tree) {
  const words = ["-s", "-p1", "--batch", "--forward", "-d", tree, "-i", join(ROOT, patch)];
  const { code } = capture("patch", ["--dry-run", ...words]);
  if (code === 0) await run("patch", words);
  else say(`    ${basename(patch)} does not apply to these sources and is left out`);
}
