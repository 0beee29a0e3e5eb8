import type { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { formatJson } from "../tensor/json.ts";
import { parseExact, writeExact } from "../tokenizer/jinja/exact.ts";
import { Problem } from "./errors.ts";

/** Brackets within brackets that a body may have: no request of use has a tenth of it, and code that walks it must not run out of stack. */
const DEPTH_LIMIT = 100;

/** Keys whose values templates write, where 1.0 is another text than 1: JSON.parse makes one number of both. */
const RENDERED = ["tools", "chat_template_kwargs"];

const unread = { code: "unsupported_media_type" };

/** Why a parameter that clients know is not taken, by its name. */
export type Reasons = Readonly<Record<string, string>>;

/**
 * A request's JSON as a schema has it. A key that is null counts as not given, as OpenAI's own API has it. Numbers within `tools` and
 * `chat_template_kwargs` are as `parseExact` reads them; `plainNumbers` makes usual ones of them.
 *
 * Errors: Problem with status 400 naming the parameter, 415 for another type of content.
 */
export async function readBody<T extends object>(c: Context, schema: z.ZodType<T>, reasons: Reasons = {}): Promise<T> {
  const type = c.req.header("content-type") ?? "none";
  // A page of another origin may send text without asking first, but no JSON.
  if (!/^application\/json *(;|$)/i.test(type))
    throw new Problem(415, `Content-Type: got ${type.slice(0, 80)}, expected application/json; add the header`, unread);
  const encoding = c.req.header("content-encoding") ?? "identity";
  if (encoding !== "identity")
    throw new Problem(415, `Content-Encoding: got ${encoding.slice(0, 80)}, expected none; send JSON as it is`, unread);
  const { text, value } = parseBody(new Uint8Array(await c.req.arrayBuffer()));
  const body = checkBody(value, schema, reasons);
  const keys = RENDERED.filter((key) => (body as Record<string, unknown>)[key] !== undefined);
  if (!keys.length) return body;
  const exact = parseExact(text) as Record<string, unknown>;
  return { ...body, ...Object.fromEntries(keys.map((key) => [key, exact[key]])) };
}

/** A value that `parseExact` has read, with all numbers as JSON.parse has them. */
export function plainNumbers<T>(value: T): T {
  return JSON.parse(writeExact(value)) as T;
}

/** Bytes as text and as JSON. Throws Problem. */
function parseBody(bytes: Uint8Array): { readonly text: string; readonly value: unknown } {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    const depth = depthOf(text);
    if (depth > DEPTH_LIMIT)
      throw new Problem(400, `body: got ${depth} brackets within each other, expected at most ${DEPTH_LIMIT}`, {
        code: "invalid_json",
      });
    return { text, value: JSON.parse(text) };
  } catch (error) {
    if (error instanceof Problem) throw error;
    const reason = error instanceof Error ? error.message.slice(0, 120) : "";
    throw new Problem(400, `body: got no valid JSON (${reason}), expected an object`, { code: "invalid_json" });
  }
}

/** The most brackets that are open at once: one pass without a stack, in time in proportion to the text whatever it holds. */
function depthOf(text: string): number {
  let [depth, most, quoted] = [0, 0, false];
  for (let i = 0; i < text.length; i++) {
    const mark = text[i];
    if (quoted) {
      if (mark === "\\") i++;
      else if (mark === '"') quoted = false;
    } else if (mark === '"') quoted = true;
    else if (mark === "[" || mark === "{") most = Math.max(most, ++depth);
    else if (mark === "]" || mark === "}") depth--;
  }
  return most;
}

/** A value as a schema has it. Throws Problem naming what is wrong first. */
function checkBody<T>(value: unknown, schema: z.ZodType<T>, reasons: Reasons): T {
  const given =
    typeof value === "object" && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).filter(([, inner]) => inner !== null))
      : value;
  const found = schema.safeParse(given);
  if (found.success) return found.data;
  throw complaint(given, found.error.issues, reasons);
}

type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];

function complaint(body: unknown, issues: readonly Issue[], reasons: Reasons): Problem {
  const { issue, path } = deepest(issues[0]!, []);
  if (issue.code === "unrecognized_keys") {
    const key = issue.keys[0]!;
    const param = nameOf([...path, key]);
    const reason = path.length === 0 && Object.hasOwn(reasons, key) ? reasons[key] : undefined;
    const why = reason ? `: ${reason}` : ", since it is not supported; /openapi.json has what is";
    const got = clip(valueAt(body, [...path, key]));
    return new Problem(400, `${param}: got ${got}, expected it left out${why}`, {
      param,
      code: "unsupported_parameter",
    });
  }
  const param = nameOf(path) || "body";
  const value = valueAt(body, path);
  return new Problem(400, `${param}: got ${clip(value)}, expected ${wordsOf(issue)}`, {
    param,
    code: value === undefined ? "missing_parameter" : "invalid_value",
  });
}

interface Found {
  readonly issue: Issue;
  readonly path: Path;
}

/**
 * Of an issue over alternatives, that of the likeliest one: of the value's own type, and of these with the fewest issues, the first of
 * them furthest within.
 */
function deepest(issue: Issue, before: Path): Found {
  const path = [...before, ...issue.path];
  if (issue.code !== "invalid_union" || issue.errors.length === 0) return { issue, path };
  const all = issue.errors.map((issues) => ({ count: issues.length, ...deepest(issues[0]!, path) }));
  const near = all.filter(({ issue: { code }, path: own }) => code !== "invalid_type" || own.length > path.length);
  if (near.length)
    return near.reduce((best, one) =>
      one.count < best.count || (one.count === best.count && one.path.length > best.path.length) ? one : best,
    );
  return {
    issue: { ...issue, message: `expected ${[...new Set(all.map((one) => wordsOf(one.issue)))].join(" or ")}` },
    path,
  };
}

/** What a schema's message says is expected. */
function wordsOf(issue: Issue): string {
  if (issue.code === "invalid_key") return `its key to be ${issue.issues[0]?.message ?? "another"}`;
  return issue.message.replace(/^.*?expected /, "").replace(/, received .*$/s, "");
}

/** A path as messages and OpenAI's `param` have it: messages[0].content. */
function nameOf(path: Path): string {
  return path.reduce<string>((name, part) => {
    if (typeof part === "number") return `${name}[${part}]`;
    return name ? `${name}.${String(part).slice(0, 80)}` : String(part).slice(0, 80);
  }, "");
}

function valueAt(body: unknown, path: Path): unknown {
  return path.reduce<unknown>((value, part) => (value as Record<PropertyKey, unknown> | undefined)?.[part], body);
}

function clip(value: unknown): string {
  const text = value === undefined ? "nothing" : formatJson(value);
  return text.length > 80 ? `${text.slice(0, 80)}...` : text;
}
