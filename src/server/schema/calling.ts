import { z } from "@hono/zod-openapi";
import { limits } from "./sampling.ts";

/** A JSON object, taken as it is. */
export const json = z.record(z.string(), z.unknown());

const name = z.string().regex(/^[\w.-]{1,128}$/, "expected 1 to 128 letters, digits, _, - and .");

/** A function as a request declares it. */
export const definition = z.strictObject({
  name,
  description: z.string().optional(),
  parameters: json.optional().describe("a JSON Schema; an object without members unless given"),
  strict: z.boolean().nullish().describe("calls follow the schema, whatever the model would write"),
});

/** Tools that a model may call. */
export const tools = z
  .array(
    z.strictObject({
      type: z.literal("function", { error: "expected function; there are no other tools" }),
      function: definition,
    }),
  )
  .max(limits.tools)
  .refine((all) => new Set(all.map((tool) => tool.function.name)).size === all.length, "expected names that differ");

export type Tool = z.infer<typeof tools>[number];

export const toolChoice = z.union([
  z.enum(["none", "auto", "required"]),
  z.strictObject({ type: z.literal("function"), function: z.strictObject({ name }) }),
]);

export type ToolChoice = z.infer<typeof toolChoice>;

/** What answers must look like. */
export const responseFormat = z.discriminatedUnion(
  "type",
  [
    z.strictObject({ type: z.literal("text") }),
    z.strictObject({ type: z.literal("json_object") }),
    z.strictObject({
      type: z.literal("json_schema"),
      json_schema: z.strictObject({
        name: z.string().max(64).optional(),
        description: z.string().optional(),
        schema: json.optional(),
        strict: z.boolean().nullish().describe("the schema holds in any case"),
      }),
    }),
  ],
  { error: "expected text, json_object or json_schema" },
);

/** The same as vLLM has it, one of them. */
export const structuredOutputs = z
  .strictObject({
    json: json.optional().describe("a JSON Schema"),
    regex: z.string().min(1).max(limits.grammar).optional().describe("an expression that the whole answer fits"),
    choice: z
      .array(z.string().min(1).max(1024))
      .min(1)
      .max(256)
      .optional()
      .describe("texts, of which the answer is one"),
    grammar: z
      .string()
      .min(1)
      .max(limits.grammar)
      .optional()
      .describe("EBNF as XGrammar reads it, its first rule called root"),
  })
  .refine((all) => Object.keys(all).length === 1, "expected one of json, regex, choice and grammar");

export type StructuredOutputs = z.infer<typeof structuredOutputs>;

export type ResponseFormat = z.infer<typeof responseFormat>;
