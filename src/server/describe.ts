import type { z } from "@hono/zod-openapi";
import {
  chatAnswer,
  chatChunk,
  completionAnswer,
  completionChunk,
  failure,
  modelCard,
  modelList,
} from "./schema/answer.ts";
import { chatBody } from "./schema/chat.ts";
import { completionBody } from "./schema/completion.ts";
import { responseAnswer, responseBody, responseEvent } from "./schema/response.ts";
import { detokenizeAnswer, detokenizeBody, tokenizeAnswer, tokenizeBody, tokenizerAnswer } from "./schema/tokens.ts";
import type { App } from "./server.ts";

/** An endpoint as /openapi.json tells it. */
interface Endpoint {
  readonly path: string;
  readonly summary: string;
  readonly body?: z.ZodType;
  readonly answer: z.ZodType | string;
  /** One event of its stream. */
  readonly event?: z.ZodType;
}

const endpoints: readonly Endpoint[] = [
  {
    path: "/v1/chat/completions",
    summary: "an answer in a conversation",
    body: chatBody,
    answer: chatAnswer,
    event: chatChunk,
  },
  {
    path: "/v1/completions",
    summary: "a text or token ids written on, with log probabilities of both",
    body: completionBody,
    answer: completionAnswer,
    event: completionChunk,
  },
  {
    path: "/v1/responses",
    summary: "an answer in a conversation of items (Responses API); nothing is stored",
    body: responseBody,
    answer: responseAnswer,
    event: responseEvent,
  },
  { path: "/v1/models", summary: "the models that there are", answer: modelList },
  { path: "/v1/models/{id}", summary: "one of them", answer: modelCard },
  { path: "/tokenize", summary: "a text or a conversation in token ids", body: tokenizeBody, answer: tokenizeAnswer },
  { path: "/detokenize", summary: "token ids as text", body: detokenizeBody, answer: detokenizeAnswer },
  { path: "/tokenizer_info", summary: "special tokens and chat template", answer: tokenizerAnswer },
  { path: "/health", summary: "whether it runs", answer: "application/json" },
  { path: "/metrics", summary: "counters and gauges for Prometheus", answer: "text/plain" },
];

/** Adds GET /openapi.json: every endpoint with what it takes and gives, by the schemas that check it. */
export function describe(app: App, version: string): void {
  app.openAPIRegistry.registerComponent("securitySchemes", "key", { type: "http", scheme: "bearer" });
  for (const { path, summary, body, answer, event } of endpoints) {
    const json = typeof answer === "string" ? { [answer]: {} } : { "application/json": { schema: answer } };
    const stream = event ? { "text/event-stream": { schema: event } } : {};
    app.openAPIRegistry.registerPath({
      method: body ? "post" : "get",
      path,
      summary,
      security: [{ key: [] }, {}],
      request: body ? { body: { required: true, content: { "application/json": { schema: body } } } } : {},
      responses: {
        200: { description: summary, content: { ...json, ...stream } },
        default: { description: "an error", content: { "application/json": { schema: failure } } },
      },
    });
  }
  app.doc31("/openapi.json", {
    openapi: "3.1.0",
    info: {
      title: "Biform",
      version,
      description: "OpenAI's API over models with a small cache. What is not here is refused by its name.",
    },
  });
}
