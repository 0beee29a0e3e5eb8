import { FormatError } from "../../tensor/error.ts";
import { regexGrammar } from "./regex.ts";

const date =
  "\\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|02-(?:0[1-9]|1\\d|2[0-8]))";
const time = "(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,9})?(?:Z|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)";
const byte = "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
const label = "[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?";

/** Formats of JSON Schema that are written; each allows no text but of its format (February has 28 days). */
const formats: Readonly<Record<string, string>> = {
  date,
  time,
  "date-time": `${date}T${time}`,
  duration: "P(?:\\d{1,6}W|\\d{1,6}D(?:T\\d{1,6}H)?|T\\d{1,6}(?:H|M|S)|\\d{1,6}Y(?:\\d{1,6}M(?:\\d{1,6}D)?)?)",
  email: `[A-Za-z0-9_+-]{1,30}(?:\\.[A-Za-z0-9_+-]{1,20})?@${label}(?:\\.${label}){1,3}`,
  hostname: `${label}(?:\\.${label}){0,3}`,
  uuid: "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
  ipv4: `${byte}\\.${byte}\\.${byte}\\.${byte}`,
  ipv6: "[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){7}",
  uri: `https?://${label}(?:\\.${label}){0,3}(?:/[A-Za-z0-9._~-]{1,100}){0,10}/?(?:\\?[A-Za-z0-9._~=&-]{0,200})?`,
};

/** A string of JSON of a format, as EBNF. Throws FormatError for a format that is not written. */
export function formatGrammar(subject: string, format: unknown): string {
  const pattern = typeof format === "string" && Object.hasOwn(formats, format) ? formats[format] : undefined;
  if (pattern === undefined)
    throw new FormatError(
      `${subject}: got the format ${JSON.stringify(format)}, expected one of ${Object.keys(formats).join(", ")}; leave it out, or use a pattern`,
    );
  return `"\\u0022" ${regexGrammar(subject, `^(?:${pattern})$`, "string")} "\\u0022"`;
}
