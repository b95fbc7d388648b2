// docker-credential-* programs: `get`, the server's name on stdin, JSON on stdout. What they print is never shown.

import { spawn } from "node:child_process";
import * as v from "valibot";
import { onAbort } from "../../base/abort.js";
import { Code, errnoOf, KilnError } from "../../base/errors.js";
import { ImageReason } from "../reasons.js";
import type { RegistryCredentials } from "../types.js";

const HELPER_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const MAX_OUTPUT = 65_536;
/** What every helper built on Docker's library prints when it knows nothing; its exit code is 1 for all failures. */
const NOT_FOUND = /credentials not found/i;
/** Such a user name says that the secret is an identity token (docker-credential-helpers' protocol). */
const TOKEN_USER = "<token>";

const HelperAnswer = v.looseObject({ Username: v.string(), Secret: v.string() });

export interface HelperOptions {
  /** "pass" for the program docker-credential-pass. */
  readonly helper: string;
  /** As docker spells it: "https://index.docker.io/v1/", "ghcr.io". */
  readonly server: string;
  readonly env: NodeJS.ProcessEnv;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Asks one helper; undefined where it has no credentials for the server.
 *
 * @throws KilnError failed_precondition `credential-helper-failed`
 */
export async function askCredentialHelper(options: HelperOptions): Promise<RegistryCredentials | undefined> {
  if (!HELPER_NAME.test(options.helper))
    throw failed(options, "its name may hold letters, digits, . _ and - only");
  options.signal?.throwIfAborted();
  const { code, output } = await run(options);
  if (code !== 0) {
    if (NOT_FOUND.test(output)) return undefined;
    throw failed(options, code === null ? "it was killed" : `it ended with exit code ${code}`);
  }
  return parseAnswer(output, options);
}

function parseAnswer(output: string, options: HelperOptions): RegistryCredentials | undefined {
  let json: unknown;
  try {
    json = JSON.parse(output);
  } catch {
    throw failed(options, "its answer is not JSON"); // the parser's message would quote the secret
  }
  const answer = v.safeParse(HelperAnswer, json);
  if (!answer.success) throw failed(options, "its answer has no Username and Secret");
  const { Username: username, Secret: secret } = answer.output;
  if (secret === "") return undefined;
  return username === TOKEN_USER ? { identityToken: secret } : { username, password: secret };
}

function run(options: HelperOptions): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(`docker-credential-${options.helper}`, ["get"], {
      env: options.env,
      stdio: ["pipe", "pipe", "ignore"],
    });
    // A grandchild may hold stdout open for ever: on time-out we settle at once and let go of the pipes.
    const giveUp = (error: unknown) => {
      child.kill("SIGKILL");
      child.stdout.destroy();
      reject(error);
      release();
    };
    const clock = setTimeout(() => giveUp(failed(options, "it did not answer in time")), options.timeoutMs);
    const listening = onAbort(options.signal, giveUp);
    const release = () => {
      clearTimeout(clock);
      listening[Symbol.dispose]();
    };
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      if (output.length > MAX_OUTPUT) giveUp(failed(options, "its answer is too long"));
    });
    child.once("error", (error) => {
      release();
      // EACCES also where a directory of PATH is closed to this user, and the program is in none of the others
      const absent = errnoOf(error) === "ENOENT" || errnoOf(error) === "EACCES";
      const why = absent ? "it is not in PATH or may not be run" : `it can't be started (${errnoOf(error)})`;
      reject(failed(options, why));
    });
    child.once("close", (code) => {
      release();
      resolve({ code, output });
    });
    // A helper that does not read its input closes the pipe: that is no failure of its own.
    child.stdin.on("error", () => undefined);
    child.stdin.end(options.server);
  });
}

function failed(options: HelperOptions, why: string): KilnError {
  const program = `docker-credential-${options.helper.slice(0, 64)}`;
  return new KilnError(Code.FailedPrecondition, `ask ${program} for ${options.server}: ${why}`, {
    reason: ImageReason.CredentialHelperFailed,
    hint: `run \`echo ${options.server} | ${program} get\` to see what is wrong, or remove it from credHelpers and credsStore`,
  });
}
