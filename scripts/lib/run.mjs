// Runs programs for the scripts. No shell.

import { spawn, spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";

/** A failure whose message is all that the user needs: printed without a stack. */
export class SetupError extends Error {}

/** Directories of PATH, the sbin ones that ordinary users lack, and where rustup puts cargo. */
export const SEARCH_PATH = [
  ...new Set([
    ...(process.env.PATH ?? "").split(":"),
    "/usr/local/sbin",
    "/usr/sbin",
    "/sbin",
    `${process.env.HOME}/.cargo/bin`,
  ]),
].filter((directory) => directory !== "");

/** The program's path, or undefined. */
export function findProgram(name) {
  for (const directory of SEARCH_PATH) {
    const path = `${directory}/${name}`;
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // not in this directory: look in the next
    }
  }
  return undefined;
}

function environment(extra = {}) {
  return { ...process.env, PATH: SEARCH_PATH.join(":"), ...extra };
}

/** Runs to the end with the terminal shared; throws when it fails. */
export function run(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: environment(options.env),
      stdio: ["ignore", options.quiet ? "ignore" : "inherit", "inherit"],
    });
    child.once("error", reject);
    child.once("close", (code, signal) => {
      if (code === 0) resolve();
      else reject(new SetupError(`${command} ${args.join(" ")} failed (${signal ?? `exit code ${code}`})`));
    });
  });
}

/** stdout and stderr as text, and the exit code. */
export function capture(command, args, options = {}) {
  const result = spawnSync(command, args, {
    cwd: options.cwd,
    env: environment(options.env),
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
    stdio: ["ignore", "pipe", "pipe"],
  });
  if (result.error !== undefined) return { code: 127, stdout: "", stderr: result.error.message };
  return { code: result.status ?? 1, stdout: result.stdout, stderr: result.stderr ?? "" };
}

/** As capture, without holding up anything else. */
export function collect(command, args, options = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: environment(options.env),
      stdio: ["ignore", "pipe", "pipe"],
    });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text) => {
      stderr += text;
    });
    child.once("error", (error) => resolve({ code: 127, stdout, stderr: error.message }));
    child.once("close", (code) => resolve({ code: code ?? 1, stdout, stderr }));
  });
}

/** Runs a script's main and turns what it throws into an exit code. */
export async function main(body) {
  try {
    process.exitCode = (await body()) ?? 0;
  } catch (error) {
    process.stderr.write(`${error instanceof SetupError ? error.message : (error?.stack ?? error)}\n`);
    process.exitCode = 1;
  }
}
