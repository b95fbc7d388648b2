import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { defined } from "./defined.js";

describe("defined", () => {
  it("leaves out what is undefined, and only that", () => {
    const absent = undefined as string | undefined;
    assert.deepEqual(defined({ vm: "web", tail: 0, since: absent, name: "", on: false, none: null }), {
      vm: "web",
      tail: 0,
      name: "",
      on: false,
      none: null,
    });
  });

  it("gives what may be absent, and never undefined, to whoever reads the type", () => {
    const tail = 3 as number | undefined;
    const request: { vm: string; tail?: number } = defined({ vm: "web", tail });
    assert.deepEqual(request, { vm: "web", tail: 3 });
  });

  it("says as JSON what the object says", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.option(fc.jsonValue(), { nil: undefined })), (object) => {
        assert.equal(JSON.stringify(defined(object)), JSON.stringify(object));
        assert.ok(Object.values(defined(object)).every((value) => value !== undefined));
      }),
    );
  });
});
