// Words of a Dockerfile line: quotes, escapes and $VARIABLES as BuildKit's shell lexer has them (docs: "Environment
// replacement"). A cursor over the text, linear in its length.

export type Variables = ReadonlyMap<string, string>;

/** Longest result: `${A}${A}...` must not grow without bound. */
const MAX_WORD = 131_072;

/** Thrown for text that can't be read; its message is the end of a sentence. */
export class WordError extends Error {
  override readonly name = "WordError";
}

/** Splits at white space outside quotes; quotes are removed and variables replaced. */
export function splitWords(text: string, variables: Variables): string[] {
  const cursor = new Cursor(text);
  const words: string[] = [];
  for (;;) {
    cursor.skipSpace();
    if (cursor.atEnd()) return words;
    words.push(readWord(cursor, variables, true));
  }
}

/** The whole text as one word: white space is kept, quotes are removed, variables replaced. */
export function joinWords(text: string, variables: Variables): string {
  return readWord(new Cursor(text), variables, false);
}

class Cursor {
  #at = 0;
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  atEnd(): boolean {
    return this.#at >= this.#text.length;
  }

  peek(): string {
    return this.#text.charAt(this.#at);
  }

  next(): string {
    return this.#text.charAt(this.#at++);
  }

  skipSpace(): void {
    while (!this.atEnd() && isSpace(this.peek())) this.#at++;
  }

  /** The longest run of characters of a variable's name. */
  name(): string {
    const match = /^(?:[A-Za-z_][A-Za-z0-9_]*|[0-9])/.exec(this.#text.slice(this.#at, this.#at + 256));
    this.#at += match?.[0].length ?? 0;
    return match?.[0] ?? "";
  }
}

function readWord(cursor: Cursor, variables: Variables, stopAtSpace: boolean): string {
  let word = "";
  while (!cursor.atEnd() && !(stopAtSpace && isSpace(cursor.peek()))) {
    word += readPiece(cursor, variables);
    if (word.length > MAX_WORD) throw new WordError("a word in it is too long");
  }
  return word;
}

function readPiece(cursor: Cursor, variables: Variables): string {
  const character = cursor.next();
  if (character === "'") return singleQuoted(cursor);
  if (character === '"') return doubleQuoted(cursor, variables);
  if (character === "$") return variable(cursor, variables);
  if (character !== "\\") return character;
  if (cursor.atEnd()) throw new WordError("it ends with a backslash");
  return cursor.next();
}

function singleQuoted(cursor: Cursor): string {
  let text = "";
  while (!cursor.atEnd()) {
    const character = cursor.next();
    if (character === "'") return text;
    text += character;
  }
  throw new WordError("a single quote is not closed");
}

function doubleQuoted(cursor: Cursor, variables: Variables): string {
  let text = "";
  while (!cursor.atEnd()) {
    const character = cursor.next();
    if (character === '"') return text;
    if (character === "$") text += variable(cursor, variables);
    // inside double quotes a backslash is only special before these
    else if (character === "\\" && '"$\\'.includes(cursor.peek()) && !cursor.atEnd()) text += cursor.next();
    else text += character;
    if (text.length > MAX_WORD) throw new WordError("a word in it is too long");
  }
  throw new WordError("a double quote is not closed");
}

/** After `$`: NAME, {NAME}, {NAME:-word}, {NAME:+word}; a lone `$` is itself. */
function variable(cursor: Cursor, variables: Variables): string {
  if (cursor.peek() !== "{") {
    const name = cursor.name();
    return name === "" ? "$" : (variables.get(name) ?? "");
  }
  cursor.next();
  const name = cursor.name();
  if (name === "") throw new WordError("${ is not followed by a name");
  const value = variables.get(name) ?? "";
  const after = cursor.next();
  if (after === "}") return value;
  const operator = cursor.next();
  if (after !== ":" || (operator !== "-" && operator !== "+")) {
    throw new WordError(
      `of \${${name}...} only \${${name}}, \${${name}:-word} and \${${name}:+word} are known`,
    );
  }
  const word = untilBrace(cursor, variables);
  if (operator === "-") return value === "" ? word : value;
  return value === "" ? "" : word;
}

function untilBrace(cursor: Cursor, variables: Variables): string {
  let word = "";
  while (!cursor.atEnd()) {
    if (cursor.peek() === "}") {
      cursor.next();
      return word;
    }
    word += readPiece(cursor, variables);
    if (word.length > MAX_WORD) throw new WordError("a word in it is too long");
  }
  throw new WordError("${ is not closed");
}

function isSpace(character: string): boolean {
  return character === " " || character === "\t";
}
