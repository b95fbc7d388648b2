// JSON of strangers: UTF-8 or nothing, an object or nothing, and no piece of it in an error.

/** The object that the bytes say; undefined where they are not UTF-8, not JSON, or not an object. */
export function parseJsonObject(bytes: Uint8Array): Record<string, unknown> | undefined {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    return undefined; // the caller says which document it was
  }
  const isObject = typeof json === "object" && json !== null && !Array.isArray(json);
  return isObject ? (json as Record<string, unknown>) : undefined;
}
