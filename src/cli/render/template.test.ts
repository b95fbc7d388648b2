import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { KilnError } from "../../base/errors.js";
import { compileTemplate } from "./template.js";

const value = {
  name: "web",
  status: { state: "running", ports: [{ vmPort: 80 }, { vmPort: 443 }], exitCode: 0 },
  labels: { env: "test", "org.opencontainers.image.title": "x" },
  tags: ["a", "b"],
  created: new Date("2026-01-02T03:04:05Z"),
  none: undefined,
};

function run(template: string): string {
  return compileTemplate(template)(value);
}

describe("compileTemplate", () => {
  it("prints fields, in any case, and plain text", () => {
    assert.equal(run("{{.name}}"), "web");
    assert.equal(run("<{{ .Name }}>"), "<web>");
    assert.equal(run("{{.Status.State}}/{{.status.exitCode}}"), "running/0");
    assert.equal(run("{{.created}}"), "2026-01-02T03:04:05.000Z");
  });

  it("turns \\t and \\n outside of actions into what they mean", () => {
    assert.equal(run("{{.name}}\\t{{.status.state}}\\n"), "web\trunning\n");
  });

  it("knows json, join, lower, upper and len", () => {
    assert.equal(run("{{json .status.ports}}"), '[{"vmPort":80},{"vmPort":443}]');
    assert.equal(run('{{join .tags ", "}}'), "a, b");
    assert.equal(run('{{.tags | join ","}}'), "a,b");
    assert.equal(run("{{upper .name}} {{lower `ABC`}} {{len .tags}} {{len .name}}"), "WEB abc 2 3");
    assert.equal(run("{{.name | upper | lower}}"), "web");
    assert.equal(run("{{upper (join .tags `-`)}}"), "A-B");
    assert.equal(run("{{json .}}").startsWith('{"name":"web"'), true);
  });

  it("knows if, else if, else and range", () => {
    assert.equal(run("{{if .none}}a{{else if .tags}}b{{else}}c{{end}}"), "b");
    assert.equal(run("{{if .status.exitCode}}bad{{else}}fine{{end}}"), "fine");
    assert.equal(run("{{range .status.ports}}{{.vmPort}} {{end}}"), "80 443 ");
    assert.equal(run("{{range .none}}x{{else}}nothing{{end}}"), "nothing");
    assert.equal(run("{{range .tags}}{{.}}{{if .}}!{{end}}{{end}}"), "a!b!");
  });

  it("trims with dashes and drops comments", () => {
    assert.equal(run("a  {{- .name -}}  b{{/* not {{here}} */}}"), "awebb");
  });

  it("prints lists and maps as Go does", () => {
    assert.equal(run("{{.tags}} {{.labels}}"), "[a b] map[env:test org.opencontainers.image.title:x]");
  });

  it("gives nothing for a missing label", () => {
    assert.equal(run("<{{.labels.nope}}>"), "<>");
  });

  it("refuses by name what it does not know", () => {
    const cases: [string, RegExp][] = [
      ["{{.nmae}}", /no field \.nmae; there are name,/],
      ["{{.name.x}}", /no field \.name\.x/],
      ["{{printf `%s` .name}}", /"printf" is not supported/],
      ["{{eq .name `web`}}", /"eq" is not supported/],
      ["{{with .name}}{{end}}", /\{\{with\}\} is not supported/],
      ["{{$x := .name}}", /variables/],
      ["{{if .name}}x", /no \{\{end\}\}/],
      ["{{end}}", /without its/],
      ["{{.name", /not closed/],
      ["x}}", /without its/],
      ["{{join .tags}}", /join takes 2 arguments/],
      ["{{upper (lower .name}}", /parentheses/],
      ["{{}}", /empty/],
    ];
    for (const [template, message] of cases) assert.throws(() => run(template), message, template);
  });

  it("answers any text with text or a KilnError", () => {
    const piece = fc.constantFrom(
      "{{",
      "}}",
      ".name",
      "if ",
      "range ",
      "end",
      "else",
      " | ",
      "json ",
      "(",
      ")",
      '"',
      "`",
      "x",
      "-",
      " ",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        try {
          assert.equal(typeof run(pieces.join("")), "string");
        } catch (error) {
          assert.ok(error instanceof KilnError, String(error));
        }
      }),
      { numRuns: 2000 },
    );
  });
});
