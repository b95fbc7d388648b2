// How long functions are. The formatters lay the text out, so a line's indentation says where a function ends: no parser.

/** What ends a line that a function's parameters or body go on from. */
const OPENS = /[{(<[]$/;
const KEYWORD =
  /^(if|for|while|switch|catch|return|await|throw|new|super|else|do|try|with|yield|typeof|void)\b/;
const TYPESCRIPT_HEADS = [
  /^(?:export )?(?:default )?(?:async )?function\*? ?(?<name>[\w$]+)/,
  // const f = async (a) => {, f: (a) => {, and the first line of parameters that take several
  /^(?:export )?(?:const|let) (?<name>[\w$]+)[^=]* = (?:async )?(?:<.*>)?\(/,
  /^(?:[a-z]+ )*(?<name>[#\w$]+)\??(?::| =) (?:async )?(?:<.*>)?\(.*(?:=> \{|\()$/,
];
const METHOD_HEAD =
  /^(?:(?:public|private|protected|static|override|async|get|set) )*\*?(?<name>[#\w$]+|\[[\w.]+\])(?:<.*>)?\(/;
const CALLBACK_HEAD = /=> \{$/;
const RUST_HEAD =
  /^(?:pub(?:\([\w: ]+\))? )?(?:const )?(?:async )?(?:unsafe )?(?:extern "C" )?fn (?<name>\w+)/;

/**
 * Every function of a source text, those inside others too, with its first and last line counted.
 *
 * @param {string} file its ending says the language
 * @returns {{ name: string, line: number, lines: number }[]}
 */
export function functionSizes(file, text) {
  const lines = text.split("\n");
  const head = file.endsWith(".rs") ? rustHead : typescriptHead;
  const found = [];
  for (const [at, line] of lines.entries()) {
    const words = line.trimStart();
    const start = head(words, lines, at);
    if (start === undefined) continue;
    const end = endOf(lines, at, line.length - words.length, start.ends);
    if (end !== undefined) found.push({ name: start.name, line: at + 1, lines: end - at + 1 });
  }
  return found;
}

/** A `describe` holds tests as a file does, and a contract is a `describe` with parameters: neither is one function. */
export function isGroupOfTests(name) {
  return /^describe\b/.test(name) || /Contract$/.test(name);
}

function rustHead(words) {
  const name = RUST_HEAD.exec(words)?.groups.name;
  return name === undefined || /[;}]$/.test(words) ? undefined : { name, ends: /^\}$/ };
}

function typescriptHead(words, lines, at) {
  if (!OPENS.test(words) || KEYWORD.test(words)) return undefined;
  for (const pattern of TYPESCRIPT_HEADS) {
    const name = pattern.exec(words)?.groups.name;
    if (name !== undefined) return { name, ends: /^\}[);,]*$/ };
  }
  if (CALLBACK_HEAD.test(words))
    return /^[)}\]]/.test(words) ? undefined : { name: callee(lines, at), ends: /^\}/ };
  const name = METHOD_HEAD.exec(words)?.groups.name;
  // A call with an object in it looks the same, but ends in "});".
  return name === undefined ? undefined : { name, ends: /^\},?$/ };
}

/** What a callback is given to: "it(", of the line itself or of the call that it is an argument of. */
function callee(lines, at) {
  const indent = indentOf(lines[at]);
  let line = lines[at].trimStart();
  if (/^(async )?(\(|\w+ =>)/.test(line)) {
    const before = lines.slice(0, at).findLast((other) => other !== "" && indentOf(other) < indent);
    line = before?.trimStart() ?? line;
  }
  return line.slice(0, 60);
}

/** The line where what begins at `at` ends; undefined where it has no body. */
function endOf(lines, at, indent, ends) {
  let open = lines[at].endsWith("{");
  for (let next = at + 1; next < lines.length; next++) {
    const line = lines[next];
    if (line.trim() === "" || indentOf(line) !== indent) continue;
    const words = line.trimStart();
    if (open && ends.test(words) && !words.endsWith("{")) return next;
    if (words.endsWith("{")) open = true;
    else if (open ? /^[})\]]/.test(words) : /[;,]$/.test(words)) return undefined;
  }
  return undefined;
}

function indentOf(line) {
  return line.length - line.trimStart().length;
}
