// Types of what is shown and not to be changed.

/** T with nothing in it that can be assigned to, however deep. For plain data: functions and classes stay as they are. */
export type DeepReadonly<T> = T extends string | number | bigint | boolean | undefined | null
  ? T
  : { readonly [K in keyof T]: DeepReadonly<T[K]> };
