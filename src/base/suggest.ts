// "Did you mean": the nearest of some words.

/** The nearest word, where it is near enough to be meant; undefined else. */
export function nearest(word: string, words: Iterable<string>): string | undefined {
  let best: string | undefined;
  // Two typing mistakes in a long word, one in a short one.
  let limit = word.length <= 4 ? 1 : 2;
  for (const candidate of words) {
    const distance = candidate.startsWith(word) && word.length >= 3 ? 0 : editDistance(word, candidate);
    if (distance > limit || (best !== undefined && distance === limit)) continue;
    best = candidate;
    limit = distance;
  }
  return best;
}

/** Insertions, deletions, substitutions and swaps of neighbours between two short words. */
export function editDistance(from: string, to: string): number {
  let before: number[] = [];
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const same = from[i - 1] === to[j - 1] ? 0 : 1;
      const swapped = i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1];
      next[j] = Math.min(
        (row[j] ?? 0) + 1,
        (next[j - 1] ?? 0) + 1,
        (row[j - 1] ?? 0) + same,
        swapped ? (before[j - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY,
      );
    }
    before = row;
    row = next;
  }
  return row[to.length] ?? 0;
}
