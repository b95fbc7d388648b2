import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { KilnError } from "../../base/errors.js";
import { compileTemplate } from "./template.js";
import { ALSO } from "./template-values.js";

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

  it("knows what docker's templates use besides", () => {
    assert.equal(run('{{index .labels "env"}}<{{index .labels "nope"}}>{{index .tags 1}}'), "test<>b");
    assert.equal(run("{{(index .status.ports 1).vmPort}}"), "443");
    assert.equal(run('{{printf "%-5s|%03d|%q" .name 7 .name}}'), 'web  |007|"web"');
    assert.equal(run("{{println .name .status.exitCode}}{{print .name}}"), "web 0\nweb");
    assert.equal(run('{{if eq .status.state "exited" "running"}}up{{end}}'), "up");
    assert.equal(run('{{if and (ne .name "x") (not .none) (gt (len .tags) 1)}}yes{{end}}'), "yes");
    assert.equal(run('{{or .none "default"}} {{.status.state | printf "<%s>"}}'), "default <running>");
    assert.equal(run('{{title .name}} {{index (split "a/b" "/") 1}} {{truncate .name 2}}'), "Web b we");
  });

  it("slices, escapes, and keeps the sign before zeros", () => {
    assert.equal(
      run("{{slice .name 1}} {{slice .name 0 2}} {{slice .tags 1}} {{.name | html}}"),
      "eb we [b] web",
    );
    assert.equal(
      run("{{html `<a href=\"x\">'&'</a>`}}"),
      "&lt;a href=&#34;x&#34;&gt;&#39;&amp;&#39;&lt;/a&gt;",
    );
    assert.equal(
      run('{{printf "%05d|%06.1f|%5d|%-5d|" -3 -2.5 -3 -3}}{{printf "%04s" "-a"}}'),
      "-0003|-002.5|   -3|-3   |00-a",
    );
  });

  it("knows with and variables", () => {
    assert.equal(run("{{with .status}}{{.state}} {{$.name}}{{end}}"), "running web");
    assert.equal(run("{{with .none}}a{{else with .name}}{{.}}{{else}}c{{end}}"), "web");
    assert.equal(run("{{range $i, $tag := .tags}}{{$i}}={{$tag}} {{end}}"), "0=a 1=b ");
    assert.equal(
      run("{{range $key, $value := .labels}}{{$key}}:{{$value}};{{end}}").slice(0, 9),
      "env:test;",
    );
    assert.equal(run("{{$n := .name}}{{range .tags}}{{$n}}{{.}} {{end}}"), "weba webb ");
    assert.equal(
      run("{{range $tag := .tags}}{{$tag}}{{end}}{{if $s := .status.state}}{{$s}}{{end}}"),
      "abrunning",
    );
  });

  it("looks into a second object for what the first lacks, very names before others", () => {
    const both = { state: "own", name: "n", [ALSO]: { State: { Status: "up" }, Name: "/n", Extra: 1 } };
    const say = (template: string) => compileTemplate(template)(both);
    assert.equal(say("{{.state}} {{.State.Status}} {{.name}} {{.Name}} {{.extra}}"), "own up n /n 1");
    assert.equal(say("{{json .}}"), '{"state":"own","name":"n"}');
    assert.throws(() => say("{{.nope}}"), /there are state, name, State, Name, Extra/);
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
      ["{{urlquery .name}}", /"urlquery" is not supported/],
      ["{{slice .name 2 9}}", /no part 2 to 9 of 3/],
      ["{{printf `%z` .name}}", /printf has no %z/],
      ["{{printf `%s`}}", /no value for %s/],
      ["{{define `x`}}{{end}}", /\{\{define\}\} is not supported/],
      ["{{$x}}", /no variable \$x/],
      ["{{index .tags 2}}", /no element 2 in a list of 2/],
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
      "with ",
      "$x",
      " := ",
      "printf ",
      "index ",
      " 1",
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
