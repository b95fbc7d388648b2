// Others' words in our messages.

const MOST = 80;

/** In quotes, and no longer than a message should be. */
export function textOf(text: string): string {
  return JSON.stringify(text.length > MOST ? `${text.slice(0, MOST)}...` : text);
}
