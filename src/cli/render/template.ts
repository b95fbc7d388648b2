// `--format '{{.Field}}'`: the documented subset of Go's text/template. Whatever is not in it is refused by name,
// because half-working templates break scripts silently.

import { type Declaration, evaluate, parseDeclaration, type Scope } from "./template-expression.js";
import { bad, entriesOf, isTrue, toText } from "./template-values.js";

type Node =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "value"; readonly value: Declaration }
  | { readonly kind: BlockKind; readonly branches: readonly Branch[]; readonly otherwise: readonly Node[] };

type BlockKind = "if" | "with" | "range";

/** What follows `{{if}}` or `{{else if}}`; `with` and `range` are alike. */
interface Branch {
  readonly value: Declaration;
  readonly body: readonly Node[];
}

/** A template, ready to be run on any value. */
export type Template = (value: unknown) => string;

/**
 * Compiles a template: `{{.Field}}`, the functions of template-functions.ts, `{{if}}`, `{{with}}` and `{{range}}` with
 * `{{else}}` and `{{end}}`, variables, pipes, `{{- -}}`, comments.
 *
 * @throws KilnError invalid_argument `usage`
 */
export function compileTemplate(source: string): Template {
  const parser = new Parser(tokenize(source));
  const nodes = parser.parseAll();
  return (value) => render(nodes, { dot: value, variables: new Map([["$", value]]) });
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
    if (word === "if" || word === "with" || word === "range") return this.#parseBlock(word, rest);
    if (["define", "template", "block", "break", "continue"].includes(word)) {
      throw bad(`{{${word}}} is not supported`);
    }
    return { kind: "value", value: parseDeclaration(action) };
  }

  #parseBlock(kind: BlockKind, first: string): Node {
    const branches: Branch[] = [];
    let next: string | undefined = first;
    while (next !== undefined) {
      const value = parseDeclaration(next);
      const { nodes, stop } = this.#parseUntilStop();
      branches.push({ value, body: nodes });
      const elseIf = new RegExp(`^else\\s+${kind}\\s+([\\s\\S]+)$`).exec(stop ?? "");
      if (stop === "end") return { kind, branches, otherwise: [] };
      if (stop === "else") return { kind, branches, otherwise: this.#parseLastPart(kind) };
      next = kind === "range" ? undefined : elseIf?.[1];
    }
    throw bad(`${kind === "if" ? "an" : "a"} {{${kind}}} has no {{end}}`);
  }

  #parseLastPart(of: BlockKind): Node[] {
    const { nodes, stop } = this.#parseUntilStop();
    if (stop !== "end") throw bad(`an {{else}} of {{${of}}} has no {{end}}`);
    return nodes;
  }
}

/** Variables that are declared on the way are seen by what follows in the same block, and by the blocks within. */
function render(nodes: readonly Node[], scope: Scope): string {
  const variables = new Map(scope.variables);
  const inner = { dot: scope.dot, variables };
  let text = "";
  for (const node of nodes) {
    if (node.kind === "text") text += node.text;
    else if (node.kind === "value") {
      const value = evaluate(node.value.expression, inner);
      for (const name of node.value.names) variables.set(name, value);
      if (node.value.names.length === 0) text += toText(value);
    } else text += renderBlock(node.kind, node.branches, node.otherwise, inner);
  }
  return text;
}

function renderBlock(
  kind: BlockKind,
  branches: readonly Branch[],
  otherwise: readonly Node[],
  scope: Scope,
): string {
  for (const { value, body } of branches) {
    const found = evaluate(value.expression, scope);
    if (kind === "range") {
      const items = entriesOf(found);
      if (items.length > 0)
        return items.map((item) => render(body, itemScope(scope, value.names, item))).join("");
    } else if (isTrue(found)) {
      const variables = new Map(scope.variables);
      for (const name of value.names) variables.set(name, found);
      return render(body, { dot: kind === "with" ? found : scope.dot, variables });
    }
  }
  return render(otherwise, scope);
}

/** One variable is the item, two are its key and itself. */
function itemScope(
  scope: Scope,
  names: readonly string[],
  [key, item]: readonly [string | number, unknown],
): Scope {
  const variables = new Map(scope.variables);
  const [first, second] = names;
  if (first !== undefined) variables.set(first, second === undefined ? item : key);
  if (second !== undefined) variables.set(second, item);
  return { dot: item, variables };
}
