// Optional members: where absent and undefined are not the same (state files, JSON on the wire, headers).

/** The object with what may be undefined as what may be absent. */
export type Defined<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

/**
 * The object without its undefined members.
 *
 * ```ts
 * const request = defined({ vm, tail: options.tail, since: options.since?.toISOString() });
 * ```
 */
export function defined<T extends object>(object: T): Defined<T> {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as Defined<T>;
}
