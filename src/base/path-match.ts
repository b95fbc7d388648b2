// Shell patterns over names with slashes, by the rules that Docker's filters have (Go's path.Match): `*` and `?` stop
// at a slash, `[a-z]` and `[^a-z]` are classes, `\` quotes.

import { Code, KilnError } from "./errors.js";

type Token = { readonly kind: "star" } | { readonly kind: "one"; readonly fits: (char: string) => boolean };

const MOST_PATTERN = 1024;

/**
 * True where the whole of `text` fits. Takes time in proportion to pattern × text, whatever the pattern.
 *
 * @throws KilnError invalid_argument `bad-pattern`
 */
export function pathMatch(pattern: string, text: string): boolean {
  return fits(parsePattern(pattern), [...text]);
}

/**
 * Docker's rule for references: a pattern fits the familiar name with its tag or without.
 *
 * @param familiar "nginx:1.27", "ghcr.io/a/b@sha256:..."
 * @throws KilnError invalid_argument `bad-pattern`
 */
export function matchesReference(pattern: string, familiar: string): boolean {
  const tokens = parsePattern(pattern.replace(/^(index\.)?docker\.io\/(library\/)?/, ""));
  const name = familiar.replace(/@.*$/, "").replace(/:[^:/]*$/, "");
  return fits(tokens, [...familiar]) || fits(tokens, [...name]);
}

/** Of two choices only the last star's need be tried again: what an earlier one took may stay. */
function fits(tokens: readonly Token[], chars: readonly string[]): boolean {
  let [token, at] = [0, 0];
  let back: { token: number; at: number } | undefined;
  for (;;) {
    const next = tokens[token];
    const char = chars[at];
    if (next?.kind === "star") {
      back = { token: ++token, at };
    } else if (next !== undefined && char !== undefined && next.fits(char)) {
      token++;
      at++;
    } else if (next === undefined && char === undefined) {
      return true;
    } else {
      const skipped = back === undefined ? undefined : chars[back.at];
      if (back === undefined || skipped === undefined || skipped === "/") return false;
      back = { token: back.token, at: back.at + 1 };
      ({ token, at } = back);
    }
  }
}

function parsePattern(pattern: string): Token[] {
  if (pattern.length > MOST_PATTERN) throw bad(pattern, "it is too long");
  const chars = [...pattern];
  const tokens: Token[] = [];
  let at = 0;
  const take = (): string => {
    const char = chars[at++];
    if (char === undefined) throw bad(pattern, "it ends within a class or after a \\");
    return char;
  };
  const literal = (): string => {
    const char = take();
    return char === "\\" ? take() : char;
  };
  while (at < chars.length) {
    const char = chars[at];
    if (char === "*" || char === "?" || char === "[") at++;
    if (char === "*") tokens.push({ kind: "star" });
    else if (char === "?") tokens.push({ kind: "one", fits: (each) => each !== "/" });
    else if (char === "[")
      tokens.push({ kind: "one", fits: parseClass(pattern, take, literal, () => chars[at]) });
    else {
      const wanted = literal();
      tokens.push({ kind: "one", fits: (each) => each === wanted });
    }
  }
  return tokens;
}

function parseClass(
  pattern: string,
  take: () => string,
  literal: () => string,
  peek: () => string | undefined,
): (char: string) => boolean {
  const negated = peek() === "^";
  if (negated) take();
  const ranges: [string, string][] = [];
  do {
    if (peek() === "]" || peek() === "-") throw bad(pattern, "a class in it is empty or begins with -");
    const from = literal();
    const isRange = peek() === "-";
    if (isRange) take();
    if (isRange && peek() === "]") throw bad(pattern, "a range in it has no end");
    ranges.push([from, isRange ? literal() : from]);
  } while (peek() !== "]");
  take();
  return (char) => char !== "/" && ranges.some(([from, to]) => char >= from && char <= to) !== negated;
}

function bad(pattern: string, why: string): KilnError {
  return new KilnError(Code.InvalidArgument, `pattern ${JSON.stringify(pattern.slice(0, 100))}: ${why}`, {
    reason: "bad-pattern",
    hint: "write for example nginx, nginx:1.* or ghcr.io/*/app",
  });
}
