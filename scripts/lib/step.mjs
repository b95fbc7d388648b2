// One line per step of set-up, on stderr: what is done, and how long it took where it took long.

export function say(text) {
  process.stderr.write(`${text}\n`);
}

/** Runs `body` as a named step; says so before and, after a second or more, how long it took. */
export async function step(what, body) {
  say(`==> ${what}`);
  const started = Date.now();
  const result = await body();
  const seconds = (Date.now() - started) / 1000;
  if (seconds >= 1) say(`    ${seconds.toFixed(1)} s`);
  return result;
}
