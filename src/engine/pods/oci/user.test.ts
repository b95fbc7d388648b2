import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { hasReason } from "../../../base/errors.js";
import { planUser } from "./user.js";

const NOBODY = { supplementalGroups: [], groupsPolicy: "merge" } as const;

describe("planUser", () => {
  for (const [what, asked, image, user, group] of [
    ["the image's where none is asked for", {}, "1003:1004", "1003", "1004"],
    ["the image's without a group", {}, "www-data", "www-data", ""],
    ["root where nobody says", {}, "", "", ""],
    ["the image's group alone", {}, ":50", "", "50"],
    ["a uid, and none of the image's groups as its own", { uid: 0 }, "1003:1004", "0", ""],
    ["a uid with a group", { uid: 1000, gid: 7 }, "www-data", "1000", "7"],
    ["a name over a uid", { uid: 1000, name: "daemon" }, "", "daemon", ""],
  ] as const) {
    it(`is ${what}`, () => {
      const order = planUser({ ...NOBODY, ...asked }, image);
      assert.deepEqual([order.user, order.group], [user, group]);
    });
  }

  it("has the image's groups as well, or only those that are asked for", () => {
    const groups = { supplementalGroups: [5, 6] };
    assert.deepEqual(planUser({ ...groups, groupsPolicy: "merge" }, ""), {
      ...{ user: "", group: "", supplementalGroups: [5, 6], imageGroups: true },
    });
    assert.equal(planUser({ ...groups, groupsPolicy: "strict" }, "").imageGroups, false);
  });

  it("refuses a group without a user, whatever the image says", () => {
    assert.throws(
      () => planUser({ ...NOBODY, gid: 0 }, "1000"),
      (error) => hasReason(error, "group-without-user"),
    );
  });
});
