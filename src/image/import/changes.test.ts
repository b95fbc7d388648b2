import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { KilnError } from "../../base/errors.js";
import { applyChanges } from "./changes.js";

describe("applyChanges", () => {
  for (const [what, changes, expected] of [
    ["CMD in exec form", ['CMD ["nginx", "-g", "daemon off;"]'], { Cmd: ["nginx", "-g", "daemon off;"] }],
    ["CMD in shell form", ["cmd echo $HOME"], { Cmd: ["/bin/sh", "-c", "echo $HOME"] }],
    ["a shell's [ for what it is", ["CMD [ -f /x ] && y"], { Cmd: ["/bin/sh", "-c", "[ -f /x ] && y"] }],
    ["ENTRYPOINT and an empty CMD", ['ENTRYPOINT ["/e"]', "CMD []"], { Entrypoint: ["/e"], Cmd: [] }],
    ["several ENV of a line", ["ENV A=1 B='two words'"], { Env: ["A=1", "B=two words"] }],
    ["the old form of ENV", ["ENV A all the rest"], { Env: ["A=all the rest"] }],
    ["ENV that replaces", ["ENV A=1 B=2", "ENV A=3"], { Env: ["A=3", "B=2"] }],
    ["ENV that builds on earlier lines only", ["ENV A=1", "ENV A=2 B=$A"], { Env: ["A=2", "B=1"] }],
    ["USER", ["USER 1000:33"], { User: "1000:33" }],
    ["WORKDIR, relative to the last one", ["WORKDIR /srv", "WORKDIR app/../web"], { WorkingDir: "/srv/web" }],
    [
      "EXPOSE",
      ["EXPOSE 80 53/udp 8000-8002"],
      { ExposedPorts: { "80/tcp": {}, "53/udp": {}, "8000-8002/tcp": {} } },
    ],
    ["LABEL", ['LABEL a=b "c d"="e f"'], { Labels: { a: "b", "c d": "e f" } }],
    ["STOPSIGNAL", ["STOPSIGNAL SIGRTMIN+3"], { StopSignal: "SIGRTMIN+3" }],
    [
      "VOLUME in both forms",
      ['VOLUME ["/a b"]', "VOLUME /c /d"],
      { Volumes: { "/a b": {}, "/c": {}, "/d": {} } },
    ],
    ["nothing", [], {}],
  ] as const) {
    it(`reads ${what}`, () => assert.deepEqual(applyChanges(changes), expected));
  }

  for (const [change, why] of [
    ["RUN make", /begin with one of/],
    ["HEALTHCHECK NONE", /begin with one of/],
    ["toString x", /begin with one of/],
    ["CMD", /needs an argument/],
    ["ENV A", /has no value/],
    ["ENV A=1 B", /not NAME=VALUE/],
    ["ENV =1", /empty/],
    ["EXPOSE http", /no port/],
    ["USER a b", /exactly one/],
    ["STOPSIGNAL ;reboot", /no signal/],
    ['USER "a', /not closed/],
    ["CMD a\nENV b=c", /one line/],
  ] as const) {
    it(`refuses ${JSON.stringify(change)} and names it`, () => {
      assert.throws(
        () => applyChanges([change]),
        (error: unknown) => {
          assert.ok(error instanceof KilnError);
          assert.equal(error.reason, "invalid-change");
          assert.match(error.message, why);
          assert.ok(error.message.includes(JSON.stringify(change)));
          return true;
        },
      );
    });
  }
  it("throws nothing but its own error, whatever the lines", () => {
    const word = fc.constantFrom("ENV", "CMD", "LABEL", "EXPOSE", "VOLUME", "WORKDIR", "USER", "STOPSIGNAL");
    fc.assert(
      fc.property(fc.array(fc.tuple(word, fc.string()), { maxLength: 5 }), (lines) => {
        try {
          applyChanges(lines.map((line) => line.join(" ")));
        } catch (error) {
          assert.ok(error instanceof KilnError && error.reason === "invalid-change");
        }
      }),
    );
  });
});
