import { FormatError } from "../../tensor/error.ts";

/** Characters of a schema, as JSON. */
const SCHEMA_LIMIT = 200_000;

/** Throws FormatError for a schema of more text than any in use. */
export function checkSize(subject: string, schema: unknown): void {
  const size = JSON.stringify(schema)?.length ?? 0;
  if (size > SCHEMA_LIMIT)
    throw new FormatError(`${subject}: got ${size} characters, expected at most ${SCHEMA_LIMIT}; make it smaller`);
}
