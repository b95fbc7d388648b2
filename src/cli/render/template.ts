// `--format '{{.Field}}'`: the documented subset of Go's text/template. Whatever is not in it is refused by name,
// because half-working templates break scripts silently.

import { usageError } from "../usage-error.js";
import { type Expression, evaluate, parseExpression } from "./template-expression.js";

type Node =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "value"; readonly expression: Expression }
  | { readonly kind: "if"; readonly branches: readonly Branch[]; readonly otherwise: readonly Node[] }
  | {
      readonly kind: "range";
      readonly expression: Expression;
      readonly body: readonly Node[];
      readonly otherwise: readonly Node[];
    };

interface Branch {
  readonly condition: Expression;
  readonly body: readonly Node[];
}

/** A template, ready to be run on any value. */
export type Template = (value: unknown) => string;

/**
 * Compiles a template: `{{.Field}}`, `{{json .}}`, `{{join .List ","}}`, `{{lower .}}`, `{{upper .}}`, `{{len .}}`,
 * `{{if}}`/`{{else if}}`/`{{else}}`/`{{end}}`, `{{range}}`/`{{else}}`/`{{end}}`, pipes, `{{- -}}`, comments.
 *
 * @throws KilnError invalid_argument `usage`
 */
export function compileTemplate(source: string): Template {
  const parser = new Parser(tokenize(source));
  const nodes = parser.parseAll();
  return (value) => render(nodes, value);
}

type Token = { readonly kind: "text" | "action"; readonly text: string };

function tokenize(source: string): Token[] {
  const tokens: Token[] = [];
  const action = /\{\{(- )?(\/\*[\s\S]*?\*\/|(?:"(?:[^"\\]|\\.)*"|`[^`]*`|(?!\}\}).)*?)( -)?\}\}/gs;
  let at = 0;
  let trimNext = false;
  for (const match of source.matchAll(action)) {
    const before = source.slice(at, match.index);
    pushText(tokens, before, trimNext, match[1] !== undefined);
    const body = (match[2] ?? "").trim();
    if (!body.startsWith("/*")) tokens.push({ kind: "action", text: body });
    trimNext = match[3] !== undefined;
    at = match.index + match[0].length;
  }
  const rest = source.slice(at);
  if (rest.includes("{{")) throw bad("an action is not closed: write {{ ... }}");
  pushText(tokens, rest, trimNext, false);
  return tokens;
}

function pushText(tokens: Token[], text: string, trimStart: boolean, trimEnd: boolean): void {
  if (text.includes("}}")) throw bad("there is a }} without its {{");
  const start = trimStart ? text.trimStart() : text;
  const trimmed = trimEnd ? start.trimEnd() : start;
  if (trimmed !== "") tokens.push({ kind: "text", text: unescaped(trimmed) });
}

/** Docker takes `\t` and `\n` for what they stand for: a shell's single quotes leave them as they are. */
function unescaped(text: string): string {
  return text.replaceAll("\\t", "\t").replaceAll("\\n", "\n");
}

class Parser {
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  parseAll(): Node[] {
    const { nodes, stop } = this.#parseUntilStop();
    if (stop !== undefined) throw bad(`{{${stop}}} stands without its {{if}} or {{range}}`);
    return nodes;
  }

  /** Nodes up to `end` or `else ...`, which is given back. */
  #parseUntilStop(): { nodes: Node[]; stop: string | undefined } {
    const nodes: Node[] = [];
    for (;;) {
      const token = this.#tokens[this.#at++];
      if (token === undefined) return { nodes, stop: undefined };
      if (token.kind === "text") nodes.push({ kind: "text", text: token.text });
      else if (/^(end|else)\b/.test(token.text)) return { nodes, stop: token.text };
      else nodes.push(this.#parseAction(token.text));
    }
  }

  #parseAction(action: string): Node {
    const [, word = "", rest = ""] = /^(\w*)\s*([\s\S]*)$/.exec(action) ?? [];
    if (word === "if") return this.#parseIf(parseExpression(rest));
    if (word === "range") return this.#parseRange(parseExpression(rest));
    if (["with", "define", "template", "block", "break", "continue"].includes(word)) {
      throw bad(`{{${word}}} is not supported`);
    }
    return { kind: "value", expression: parseExpression(action) };
  }

  #parseIf(condition: Expression): Node {
    const branches: Branch[] = [];
    let next: Expression | undefined = condition;
    while (next !== undefined) {
      const { nodes, stop } = this.#parseUntilStop();
      branches.push({ condition: next, body: nodes });
      const elseIf = /^else\s+if\s+([\s\S]+)$/.exec(stop ?? "");
      if (stop === "end") return { kind: "if", branches, otherwise: [] };
      if (stop === "else") return { kind: "if", branches, otherwise: this.#parseLastPart("if") };
      if (elseIf?.[1] === undefined) throw bad("an {{if}} has no {{end}}");
      next = parseExpression(elseIf[1]);
    }
    throw bad("an {{if}} has no {{end}}");
  }

  #parseRange(expression: Expression): Node {
    const { nodes, stop } = this.#parseUntilStop();
    if (stop === "end") return { kind: "range", expression, body: nodes, otherwise: [] };
    if (stop === "else")
      return { kind: "range", expression, body: nodes, otherwise: this.#parseLastPart("range") };
    throw bad("a {{range}} has no {{end}}");
  }

  #parseLastPart(of: string): Node[] {
    const { nodes, stop } = this.#parseUntilStop();
    if (stop !== "end") throw bad(`an {{else}} of {{${of}}} has no {{end}}`);
    return nodes;
  }
}

function render(nodes: readonly Node[], value: unknown): string {
  return nodes.map((node) => renderNode(node, value)).join("");
}

function renderNode(node: Node, value: unknown): string {
  if (node.kind === "text") return node.text;
  if (node.kind === "value") return toText(evaluate(node.expression, value));
  if (node.kind === "if") {
    const branch = node.branches.find(({ condition }) => isTrue(evaluate(condition, value)));
    return render(branch?.body ?? node.otherwise, value);
  }
  const items = itemsOf(evaluate(node.expression, value));
  if (items.length === 0) return render(node.otherwise, value);
  return items.map((item) => render(node.body, item)).join("");
}

function itemsOf(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  if (typeof value === "object" && value !== null) return Object.values(value);
  return [];
}

/** Go's truth: the zero value of anything is false. */
function isTrue(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (typeof value === "object" && value !== null)
    return value instanceof Date || Object.keys(value).length > 0;
  return value !== undefined && value !== null && value !== "" && value !== 0 && value !== false;
}

/** As Go prints: lists as [a b], maps as map[k:v], dates in RFC 3339. */
function toText(value: unknown): string {
  if (value === undefined || value === null) return "";
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return `[${value.map(toText).join(" ")}]`;
  if (typeof value === "object") {
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    return `map[${entries.map(([key, item]) => `${key}:${toText(item)}`).join(" ")}]`;
  }
  return String(value);
}

function bad(why: string): Error {
  return usageError("", `--format: ${why}`);
}
