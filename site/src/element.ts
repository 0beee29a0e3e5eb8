/** The page's elements by id; one that is missing is a mistake of ours. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`page: got no #${id}, expected it in index.html`);
  return found as T;
}

/** What was wrong, in the words that the command would have. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
