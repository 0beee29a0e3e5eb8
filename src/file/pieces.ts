/**
 * A value as JSON with two spaces a level, as `JSON.stringify(value, null, 2)` has it, in pieces: down to `depth` each item is one of its
 * own, so that the text of something large is never held whole. Parts that JSON has no words for are left out, or null in a list.
 */
export function* jsonPieces(value: unknown, depth: number, indent = ""): Generator<string> {
  const entries = value && typeof value === "object" ? Object.entries(value) : [];
  const list = Array.isArray(value);
  const known = list ? entries : entries.filter(([, item]) => item !== undefined);
  if (depth === 0 || known.length === 0) {
    yield (JSON.stringify(value, null, 2) ?? "null").replaceAll("\n", `\n${indent}`);
    return;
  }
  const deeper = `${indent}  `;
  for (const [i, [name, item]] of known.entries()) {
    const lead = i === 0 ? (list ? "[" : "{") : ",";
    yield `${lead}\n${deeper}${list ? "" : `${JSON.stringify(name)}: `}`;
    yield* jsonPieces(item, depth - 1, deeper);
  }
  yield `\n${indent}${list ? "]" : "}"}`;
}
