// The AI SDK over its OpenAI-compatible provider.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, jsonSchema, Output, streamText, tool } from "ai";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Server, serve, smol, tools } from "./serve.ts";

let server: Server;
let model: ReturnType<ReturnType<typeof createOpenAICompatible>>;
beforeAll(async () => {
  server = await serve(smol(), "--context", "2048", "--api-key", "secret", "--chat-template", tools);
  const provider = createOpenAICompatible({
    name: "biform",
    baseURL: `${server.url}/v1`,
    apiKey: "secret",
    includeUsage: true,
    supportsStructuredOutputs: true,
  });
  model = provider(server.models[0]!);
});
afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

const prompt = "What is the capital of France? Answer in one word.";

test("text, whole and in pieces", async () => {
  const whole = await generateText({ model, prompt, temperature: 0, maxOutputTokens: 12, maxRetries: 0 });
  expect(whole.text).toContain("Paris");
  expect(whole.usage.outputTokens).toBeGreaterThan(0);
  const stream = streamText({ model, prompt, temperature: 0, maxOutputTokens: 12, maxRetries: 0 });
  let text = "";
  for await (const piece of stream.textStream) text += piece;
  expect(text).toBe(whole.text);
  expect((await stream.usage).inputTokens).toBe(whole.usage.inputTokens);
  expect(await stream.finishReason).toBe(whole.finishReason);
});

test("an object by a schema", async () => {
  const schema = jsonSchema<{ city: string; population: number }>({
    type: "object",
    properties: { city: { type: "string", maxLength: 12 }, population: { type: "integer", minimum: 0, maximum: 99 } },
    required: ["city", "population"],
    additionalProperties: false,
  });
  const { output } = await generateText({
    model,
    prompt: "Name a city.",
    temperature: 0,
    maxOutputTokens: 200,
    maxRetries: 0,
    output: Output.object({ schema }),
  });
  expect(typeof output.city).toBe("string");
  expect(Number.isInteger(output.population)).toBe(true);
});

test("a tool that has to be called, and an answer to its result", async () => {
  const called: unknown[] = [];
  const weather = tool({
    description: "The weather of a city",
    inputSchema: jsonSchema<{ city: string }>({
      type: "object",
      properties: { city: { type: "string", maxLength: 12 } },
      required: ["city"],
      additionalProperties: false,
    }),
    execute: (input) => {
      called.push(input);
      return "sunny";
    },
  });
  const ask = { model, prompt: "What is the weather in Paris?", temperature: 0, maxOutputTokens: 200, maxRetries: 0 };
  const { toolCalls, finishReason } = await generateText({ ...ask, tools: { weather }, toolChoice: "required" });
  expect(finishReason).toBe("tool-calls");
  expect(toolCalls[0]!.toolName).toBe("weather");
  expect(called).toEqual([toolCalls[0]!.input]);
});

test("an abort", async () => {
  const abort = new AbortController();
  const stream = streamText({ model, prompt, temperature: 1, maxOutputTokens: 1000, abortSignal: abort.signal });
  let pieces = 0;
  for await (const part of stream.fullStream) {
    if (part.type === "text-delta" && ++pieces === 3) abort.abort();
    if (part.type === "abort") break;
  }
  expect(pieces).toBeLessThan(1000);
  const again = await generateText({ model, prompt, temperature: 0, maxOutputTokens: 4, maxRetries: 0 });
  expect(again.text.length).toBeGreaterThan(0);
});
