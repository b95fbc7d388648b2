// What pages say of the repository: where their links lead, and which tests they name.

import { dirname, join, normalize } from "node:path";

const LINK = /\]\((?!https?:|mailto:|#)([^)\s#]+)(?:#[^)\s]*)?\)/g;
/** `path/of/a/test`: "its name", "another's" */
const NAMED = /`([\w./-]+\.(?:ts|mjs|rs))`: ((?:"[^"]+"(?:, )?)+)/g;

/**
 * The links of a page that lead to nothing.
 *
 * @param {string} page relative to the checkout
 * @param {(path: string) => boolean} exists asked for paths relative to the checkout
 */
export function brokenLinks(page, text, exists) {
  const links = [...withoutCode(text).matchAll(LINK)].map(([, link]) => link);
  return links.filter((link) => !exists(normalize(join(dirname(page), link))));
}

/** @returns {{ file: string, name: string }[]} the tests that a page names */
export function namedTests(text) {
  return [...text.matchAll(NAMED)].flatMap(([, file, names]) =>
    [...names.matchAll(/"([^"]+)"/g)].map(([, name]) => ({ file, name })),
  );
}

/** What is no test in a file's text: one of that name, or one whose name begins so and goes on by a variable. */
export function missingTests(named, read) {
  return named.filter(({ file, name }) => {
    const text = read(file);
    return !["`", '"', "fn "].some((before) =>
      ['"', "`", "(", ", in place of ${"].some((after) => text?.includes(before + name + after)),
    );
  });
}

function withoutCode(text) {
  return text.replace(/^```[\s\S]*?^```/gm, "").replace(/`[^`\n]*`/g, "");
}
