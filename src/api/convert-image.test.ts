import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create, toJson } from "@bufbuild/protobuf";
import { IMAGE } from "../../test/fixtures/fake-rooms.js";
import { ImageSchema } from "../gen/kiln/v1/types_pb.js";
import { toImage } from "./convert-image.js";

describe("an image's date on the wire", () => {
  const dateOf = (createdAt: string) => {
    const json = toJson(ImageSchema, create(ImageSchema, toImage({ ...IMAGE, createdAt })));
    return typeof json === "object" && json !== null && "createdAt" in json ? json.createdAt : undefined;
  };
  it("is what the image says", () => assert.equal(dateOf("2024-05-06T07:08:09Z"), "2024-05-06T07:08:09Z"));
  for (const none of [
    "1970-01-01T00:00:00Z",
    "0001-01-01T00:00:00Z",
    "2024-13-45T99:99:99Z",
    "9999-12-31T23:59:59-23:00",
    "",
  ])
    it(`is left out for ${JSON.stringify(none)}`, () => assert.equal(dateOf(none), undefined));
});
