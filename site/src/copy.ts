/** Copying what stands in the page. */

/** Copies an element's text and tells so; where the browser forbids it, the text is shown and selected instead. */
export async function copy(from: HTMLElement, told: HTMLElement): Promise<void> {
  try {
    await navigator.clipboard.writeText(from.textContent!);
    told.textContent = "Copied.";
  } catch {
    // Browsers give their clipboard to pages of https alone, and may be told not to.
    const details = from.closest("details");
    if (details) details.open = true;
    getSelection()?.selectAllChildren(from);
    told.textContent = "The browser does not let this page copy; it is selected instead.";
  }
}
