/** Text as it is written: each piece marked by the form that it was written in. */

/** Adds a piece; `form` is its place among the forms of whoever writes, or below 0 for what was given. */
export function appendPiece(place: HTMLElement, text: string, form: number): void {
  const last = place.lastElementChild;
  const kind = `form-${form}`;
  if (last?.className === kind) {
    last.append(text);
    return;
  }
  const piece = document.createElement("span");
  piece.className = kind;
  piece.append(text);
  place.append(piece);
}
