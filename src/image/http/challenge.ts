// WWW-Authenticate (RFC 9110, 11.6.1): one header may hold several challenges, each a scheme and parameters or a token68.
// A registry's text: parsed in one pass without back-tracking, bounded, and never trusted beyond what is asked of it.

export interface Challenge {
  /** Lower-case: "bearer", "basic". */
  readonly scheme: string;
  /** Names in lower case; the first of equal names counts. */
  readonly parameters: ReadonlyMap<string, string>;
}

const MAX_HEADER = 16_384;
const MAX_CHALLENGES = 16;
const MAX_PARAMETERS = 32;
const TOKEN_CHAR = /[!#$%&'*+\-.^_`|~0-9A-Za-z]/;

/** The challenges of a header; what can't be parsed ends the list. */
export function parseChallenges(header: string): Challenge[] {
  if (header.length > MAX_HEADER) return [];
  const scanner = new Scanner(header);
  const challenges: Challenge[] = [];
  while (challenges.length < MAX_CHALLENGES) {
    scanner.skip(" \t,");
    const scheme = scanner.token();
    if (scheme === "" || scanner.peek() === "=") break;
    challenges.push({ scheme: scheme.toLowerCase(), parameters: readParameters(scanner) });
  }
  return challenges;
}

/** Reads `name=value` pairs up to the next scheme. */
function readParameters(scanner: Scanner): Map<string, string> {
  const parameters = new Map<string, string>();
  for (let count = 0; count < MAX_PARAMETERS; count++) {
    const before = scanner.position;
    scanner.skip(" \t,");
    const name = scanner.token().toLowerCase();
    scanner.skip(" \t");
    if (name === "" || scanner.peek() !== "=") {
      scanner.position = before; // a scheme, or the end
      return parameters;
    }
    scanner.position++;
    scanner.skip(" \t");
    const value = scanner.peek() === '"' ? scanner.quoted() : scanner.token();
    if (value === undefined) return parameters;
    if (!parameters.has(name)) parameters.set(name, value);
  }
  return parameters;
}

class Scanner {
  position = 0;
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  peek(): string {
    return this.#text.charAt(this.position);
  }

  skip(characters: string): void {
    while (this.position < this.#text.length && characters.includes(this.peek())) this.position++;
  }

  token(): string {
    const start = this.position;
    while (TOKEN_CHAR.test(this.peek())) this.position++;
    return this.#text.slice(start, this.position);
  }

  /** The quoted-string at the position, unescaped; undefined where it does not end. */
  quoted(): string | undefined {
    let value = "";
    for (let at = this.position + 1; at < this.#text.length; at++) {
      const character = this.#text.charAt(at);
      if (character === '"') {
        this.position = at + 1;
        return value;
      }
      if (character === "\\") at++;
      value += this.#text.charAt(at);
    }
    this.position = this.#text.length;
    return undefined;
  }
}
