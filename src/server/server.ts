import { OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import { bodyLimit } from "hono/body-limit";
import { cors } from "hono/cors";
import { chat } from "./chat.ts";
import { complete } from "./completions.ts";
import { describe } from "./describe.ts";
import { Problem, problemOf } from "./errors.ts";
import { type Env, hostGuard, keyGuard, tooLarge } from "./guard.ts";
import type { Hall } from "./hall.ts";
import { listModels, showModel } from "./models.ts";
import { servePage } from "./page/serve.ts";
import { respond } from "./responses.ts";
import { answerBeside } from "./rest.ts";
import { detokenize, tokenize, tokenizerInfo } from "./tokens.ts";

/** Who is let in, and with what. */
export interface Doors {
  /** Keys of which a request brings one; none lets everybody in. */
  readonly keys: readonly string[];
  /** Each key shares cached prefixes with itself alone. */
  readonly isolate: boolean;
  /** Origins of pages that may read answers. */
  readonly origins: readonly string[];
  /** Names that requests may call this machine by; undefined: any. */
  readonly hosts: readonly string[] | undefined;
  /** Most bytes of a body. */
  readonly bodyBytes: number;
}

export type App = OpenAPIHono<Env>;

/** The server as an app of hono: every endpoint, and what stands before them. */
export function createApp(hall: Hall, doors: Doors): App {
  const app: App = new OpenAPIHono<Env>();
  const answer = (c: Context<Env>, error: unknown) => {
    const problem = problemOf(error, hall.tell);
    return c.json(problem.body, problem.status, problem.headers);
  };
  app.onError((error, c) => answer(c, error));
  app.notFound((c) => {
    const { method, path } = c.req;
    const got = `path: got ${method} ${path.slice(0, 80)}`;
    const methods = [...new Set(app.routes.filter((one) => one.path === path).map((one) => one.method))];
    const allowed = methods.filter((one) => one !== "ALL");
    if (!allowed.length)
      return answer(c, new Problem(404, `${got}, expected a path that /openapi.json lists`, { code: "not_found" }));
    c.header("Allow", allowed.join(", "));
    return answer(c, new Problem(405, `${got}, expected ${allowed.join(" or ")}`, { code: "method_not_allowed" }));
  });
  app.use(hall.metrics.count);
  app.use(hostGuard(doors.hosts));
  if (doors.origins.length)
    app.use(cors({ origin: doors.origins.includes("*") ? "*" : [...doors.origins], maxAge: 600 }));
  const known = keyGuard(doors.keys, doors.isolate);
  for (const path of ["/v1/*", "/tokenize", "/tokenizer_info", "/detokenize", "/metrics"]) app.use(path, known);
  const refuse = (c: Context<Env>) => {
    const { body, status } = problemOf(tooLarge(doors.bodyBytes), hall.tell);
    const text = JSON.stringify(body);
    c.header("Content-Type", "application/json");
    c.header("Content-Length", `${Buffer.byteLength(text)}`);
    return c.body(c.env?.incoming ? answerBeside(c.env.incoming, text) : text, status);
  };
  app.use(bodyLimit({ maxSize: doors.bodyBytes, onError: refuse }));
  app.get("/health", (c) => {
    const failed = hall.registry.loaded.filter(({ engine }) => !engine.figures.healthy).map(({ name }) => name);
    return failed.length ? c.json({ status: "failed", models: failed }, 503) : c.json({ status: "ok" });
  });
  app.get("/metrics", async (c) => c.text(await hall.metrics.text(), 200, { "Content-Type": hall.metrics.type }));
  app.get("/v1/models", (c) => listModels(c, hall));
  app.get("/v1/models/:id{.+}", (c) => showModel(c, hall));
  app.post("/v1/completions", (c) => complete(c, hall));
  app.post("/v1/chat/completions", (c) => chat(c, hall));
  app.post("/v1/responses", (c) => respond(c, hall));
  app.post("/v1/embeddings", () => {
    throw new Problem(404, "/v1/embeddings: got a request, expected none: these models write, they embed nothing", {
      code: "unsupported_endpoint",
    });
  });
  app.post("/tokenize", (c) => tokenize(c, hall));
  app.get("/tokenizer_info", (c) => tokenizerInfo(c, hall));
  app.post("/detokenize", (c) => detokenize(c, hall));
  describe(app, hall.version);
  app.route("/", servePage());
  return app;
}
