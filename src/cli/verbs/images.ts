// `kiln images`: the image store, as a list.

import { matchesReference } from "../../base/path-match.js";
import { formatSize } from "../../base/units.js";
import type { ImageInfo } from "../../sdk/index.js";
import { defineCommand } from "../command.js";
import { printLine } from "../context.js";
import { bool, list } from "../flags.js";
import { ago, familiarImage, idOf } from "../render/names.js";
import { type Column, formatFlag, printRows, type Row } from "../render/rows.js";

const COLUMNS: readonly Column[] = [
  { header: "REPOSITORY", field: "Repository" },
  { header: "TAG", field: "Tag" },
  { header: "IMAGE ID", field: "ID" },
  { header: "CREATED", field: "CreatedSince" },
  { header: "SIZE", field: "Size" },
];
const NONE = "<none>";
const REFERENCE = "reference=";
const DIGEST: Column = { header: "DIGEST", field: "Digest" };

export const command = defineCommand({
  description: `
Lists images, one line for each name; with PATTERN only names that fit, with their tag or without: nginx, nginx:1.27,
'nginx:1.*', 'ghcr.io/*/app' (* stops at a slash). SIZE is that of the compressed layers; \`kiln system df\` shows what is really taken.

Fields for --format: .Repository .Tag .ID .Digest .CreatedAt .CreatedSince .Size .SizeBytes .Platform.
Filters: reference=PATTERN, dangling=true, label=NAME[=VALUE].
`,
  operands: [{ name: "[PATTERN]", complete: "image" }],
  flags: {
    all: bool("Also those without a name", { short: "a" }),
    digests: bool("Show digests"),
    filter: list("KEY=VALUE", "Only those that match all of these", { short: "f" }),
    format: formatFlag,
    "no-trunc": bool("Whole ids"),
    quiet: bool("Only ids", { short: "q" }),
  },
  examples: [
    { does: "all", line: "kiln images" },
    { does: "names and sizes", line: "kiln images --format '{{.Repository}}:{{.Tag}} {{.Size}}'" },
  ],
  async run(context, { flags, operands: [pattern] }) {
    const kiln = await context.connect();
    const filter = [...flags.filter, ...(pattern === undefined ? [] : [`${REFERENCE}${pattern}`])];
    const patterns = filter
      .filter((each) => each.startsWith(REFERENCE))
      .map((each) => each.slice(REFERENCE.length));
    const images = await kiln.images.list({ all: flags.all, filter });
    // An image comes with all its names, also those that do not fit.
    const rows = images
      .flatMap((image) => rowsOf(image, context.now(), flags["no-trunc"]))
      .filter((row) => patterns.length === 0 || patterns.some((each) => matches(row, each)));
    if (flags.quiet && flags.format === undefined) {
      for (const id of new Set(rows.map((row) => String(row.ID)))) await printLine(context, id);
      return 0;
    }
    await printRows(context, flags.format, rows, flags.digests ? withDigest() : COLUMNS);
    return 0;
  },
});

function withDigest(): Column[] {
  return [...COLUMNS.slice(0, 2), DIGEST, ...COLUMNS.slice(2)];
}

/** One row a name; an image without one bears the repository of its digest, or none, as Docker shows it. */
function rowsOf(image: ImageInfo, now: Date, full: boolean): Row[] {
  return namesOf(image).map(([repository = "", tag = ""]) => ({
    Repository: repository,
    Tag: tag,
    ID: idOf(image.id, full),
    Digest: digestOf(image, repository),
    CreatedAt: image.createdAt?.toISOString() ?? "",
    CreatedSince: ago(image.createdAt, now) || "N/A",
    Size: formatSize(image.sizeBytes),
    SizeBytes: image.sizeBytes,
    Platform: image.platform,
  }));
}

function namesOf(image: ImageInfo): [string, string][] {
  if (image.names.length > 0) return image.names.map(familiarImage).map(splitName);
  const repositories = new Set(image.digests.map((digest) => familiarImage(digest.replace(/@.*$/, ""))));
  return repositories.size === 0 ? [[NONE, NONE]] : [...repositories].map((repository) => [repository, NONE]);
}

/** "localhost:5000/x:1" to ["localhost:5000/x", "1"]. */
function splitName(name: string): [string, string] {
  const match = /^(.+?)(?::([^:/@]+))?(?:@.*)?$/.exec(name);
  return [match?.[1] ?? name, match?.[2] ?? NONE];
}

function digestOf(image: ImageInfo, repository: string): string {
  const found = image.digests.find((digest) => familiarImage(digest.replace(/@.*$/, "")) === repository);
  return found?.replace(/^.*@/, "") ?? NONE;
}

function matches({ Repository, Tag }: Row, pattern: string): boolean {
  return matchesReference(pattern, Tag === NONE ? `${Repository}` : `${Repository}:${Tag}`);
}
