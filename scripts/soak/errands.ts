import { once } from "node:events";
import { connect } from "node:net";
import type { Random } from "../../src/tensor/random.ts";
import { bytesOf, type Choice, eventsOf, faultOf, get, post, type Target, talk } from "./ask.ts";
import type { Known } from "./known.ts";

/** What an errand goes out with: a server, a client's own key and chance, and what is known. */
export interface Bag {
  readonly target: Target;
  readonly random: Random;
  readonly known: readonly Known[];
}

/** What came of an errand: well, turned away because the queue was full, or a fault that is told. */
export type Outcome = "well" | "full" | { readonly fault: string };

type Errand = (bag: Bag) => Promise<Outcome>;

const pick = <T>(random: Random, list: readonly T[]): T => list[random.integer(list.length)]!;
const fault = (text: string): Outcome => ({ fault: text });
const textOf = (choice: Choice): string => choice.message?.content ?? choice.delta?.content ?? choice.text ?? "";

/** Compares what came with what comes alone. */
function compare({ text, path, body }: Known, got: string): Outcome {
  if (got === text) return "well";
  return fault(`mismatch: ${body.model} ${path}: got ${JSON.stringify(got)}, alone ${JSON.stringify(text)}`);
}

async function refusalOf(response: Response): Promise<Outcome> {
  const answer = { status: response.status, text: await response.text() };
  const wrong = faultOf(answer, [429]);
  return wrong === undefined ? "full" : fault(wrong);
}

/** An answer at once, of two choices at times, beside a prefix that others share or not. */
const whole: Errand = async ({ target, random, known }) => {
  const one = pick(random, known);
  const n = random.integer(8) ? 1 : 2;
  const salt = random.integer(4) ? {} : { cache_salt: `salt ${random.integer(3)}` };
  const response = await post(target, one.path, { ...one.body, ...salt, n });
  if (response.status !== 200) return refusalOf(response);
  const { choices, usage } = await response.json();
  if (choices.length !== n || usage.prompt_tokens !== one.prompt)
    return fault(`mismatch: got ${choices.length} choices of ${usage.prompt_tokens} tokens`);
  const outcomes = choices.map((choice: Choice) => compare(one, textOf(choice)));
  return outcomes.find((outcome: Outcome) => outcome !== "well") ?? "well";
};

const streamed: Errand = async ({ target, random, known }) => {
  const one = pick(random, known);
  const response = await post(target, one.path, { ...one.body, stream: true });
  if (response.status !== 200) return refusalOf(response);
  let text = "";
  for await (const { choices, error } of eventsOf(response)) {
    if (error) return fault(`stream: got ${JSON.stringify(error)}`);
    if (choices[0]) text += textOf(choices[0]);
  }
  return compare(one, text);
};

/** Goes away in the middle, or before anything has come; what came is how the answer begins. */
const aborted: Errand = async ({ target, random, known }) => {
  const one = pick(random, known);
  const gone = new AbortController();
  const most = random.integer(12);
  if (most < 3) setTimeout(() => gone.abort(), 10 * most);
  let text = "";
  try {
    const response = await post(target, one.path, { ...one.body, stream: most > 0 }, { signal: gone.signal });
    if (response.status !== 200) return refusalOf(response);
    let count = 0;
    if (most > 0)
      for await (const { choices } of eventsOf(response)) {
        if (choices[0]) text += textOf(choices[0]);
        if (++count === most) gone.abort();
      }
  } catch (error) {
    if (!gone.signal.aborted) throw error;
  }
  return one.text.startsWith(text) ? "well" : compare(one, text);
};

const slow: Errand = async ({ target, random, known }) => {
  const one = pick(random, known);
  const bytes = bytesOf(target, one.path, JSON.stringify({ ...one.body, stream: true }));
  const answer = await talk(target, bytes, 30);
  if (answer.status !== 200) return refusalOf(new Response(answer.text, { status: answer.status || 599 }));
  let text = "";
  for await (const { choices } of eventsOf(new Response(answer.text))) if (choices[0]) text += textOf(choices[0]);
  return compare(one, text);
};

/** An answer that a grammar bounds. */
const bound: Errand = async ({ target, random, known }) => {
  const { model } = pick(random, known).body;
  const count = 1 + random.integer(3);
  const body = {
    model,
    messages: [{ role: "user", content: "say" }],
    structured_outputs: { regex: `[a-d]{${count}}[xyz]` },
    max_tokens: 20,
    temperature: 0,
  };
  const response = await post(target, "/v1/chat/completions", body);
  if (response.status === 400) return fault(`bound: got ${await response.text()}`);
  if (response.status !== 200) return refusalOf(response);
  const text = textOf((await response.json()).choices[0]);
  return new RegExp(`^[a-d]{${count}}[xyz]$`).test(text)
    ? "well"
    : fault(`mismatch: got "${text}" of ${count} letters`);
};

/** Bodies that are none. */
const garbage: Errand = async ({ target, random, known }) => {
  const { path, body } = pick(random, known);
  const text = JSON.stringify(body);
  const bodies = [
    "",
    "[]",
    "null",
    text.slice(0, random.integer(text.length)),
    "[".repeat(1 + random.integer(100_000)),
    JSON.stringify({ ...body, temperature: "warm" }),
    JSON.stringify({ ...body, max_tokens: -random.integer(100) - 1 }),
    JSON.stringify({ ...body, [`unknown${random.integer(9)}`]: 1 }),
    String.fromCharCode(...Array.from({ length: random.integer(200) }, () => random.integer(256))),
  ];
  const response = await post(target, path, pick(random, bodies));
  const wrong = faultOf({ status: response.status, text: await response.text() }, [400, 413]);
  return wrong === undefined ? "well" : fault(wrong);
};

/** What is well-formed, and cannot be done. */
const refused: Errand = async ({ target, random, known }) => {
  const { path, body } = pick(random, known);
  const schema = { type: "json_schema", json_schema: { name: "a", schema: { type: "nonsense" } } };
  const messages = [{ role: "user", content: "long ".repeat(3000) }];
  const cases: readonly (readonly [path: string, body: object, status: number, key?: string])[] = [
    [path, { ...body, model: "nothing" }, 404],
    [path, body, 401, "a wrong key"],
    ["/v1/completions", { model: body.model, prompt: [1, 2], max_tokens: 1e6 }, 400],
    ["/v1/completions", { model: body.model, prompt: [1, 99_999_999] }, 400],
    ["/v1/chat/completions", { model: body.model, messages }, 400],
    ["/v1/chat/completions", { model: body.model, messages: [{ role: "nobody", content: "a" }] }, 400],
    [
      "/v1/chat/completions",
      { model: body.model, messages: [{ role: "user", content: "a" }], response_format: schema },
      400,
    ],
    ["/v1/embeddings", { model: body.model, input: "a" }, 404],
    ["/v1/nothing", {}, 404],
  ];
  const [where, what, status, key = target.keys[0]] = pick(
    random,
    target.keys.length ? cases : cases.filter((one) => one[3] === undefined),
  );
  const response = await post(target, where, what, key === undefined ? {} : { key });
  const wrong = faultOf({ status: response.status, text: await response.text() }, [status]);
  return wrong === undefined ? "well" : fault(`${where} ${JSON.stringify(what).slice(0, 80)}: ${wrong}`);
};

/** A body that says it is far longer than allowed, and one that only turns out to be. */
const oversized: Errand = async ({ target, random, known }) => {
  const { path } = pick(random, known);
  const said = bytesOf(target, path, "{", ["Content-Length: 99999999999"]);
  const chunk = `${(1 << 20).toString(16)}\r\n${"x".repeat(1 << 20)}\r\n`;
  const sent = bytesOf(target, path, chunk.repeat(20), ["Transfer-Encoding: chunked"]);
  const wrong = faultOf(await talk(target, random.integer(8) ? said : sent), [413]);
  return wrong === undefined ? "well" : fault(wrong);
};

/** Many connections that say half of what they want, and go. */
const flood: Errand = async ({ target, random }) => {
  const { hostname, port } = new URL(target.url);
  const sockets = await Promise.all(
    Array.from({ length: 60 }, async () => {
      const socket = connect({ host: hostname, port: Number(port) });
      socket.on("error", () => {});
      await once(socket, "connect");
      socket.write("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Le".slice(0, random.integer(60)));
      return socket;
    }),
  );
  await new Promise((resolve) => setTimeout(resolve, random.integer(400)));
  for (const socket of sockets) socket.destroy();
  return "well";
};

/** What is asked beside answers. */
const around: Errand = async ({ target, random, known }) => {
  const path = pick(random, ["/health", "/metrics", "/v1/models", "/openapi.json", "/"]);
  const response = await get(target, path);
  if (response.status !== 200 || !(await response.text())) return fault(`${path}: got status ${response.status}`);
  const { model } = pick(random, known).body;
  const prompt = `text number ${random.integer(1e6)} é`;
  const { tokens } = await (await post(target, "/tokenize", { model, prompt })).json();
  const back = await (await post(target, "/detokenize", { model, tokens })).json();
  return back.prompt === prompt ? "well" : fault(`mismatch: got ${back.prompt} for ${prompt} there and back`);
};

/** Errands by name, and how often each comes. */
const shares: Readonly<Record<string, readonly [errand: Errand, share: number]>> = {
  whole: [whole, 30],
  streamed: [streamed, 25],
  aborted: [aborted, 12],
  slow: [slow, 5],
  bound: [bound, 4],
  garbage: [garbage, 8],
  refused: [refused, 8],
  oversized: [oversized, 1],
  flood: [flood, 1],
  around: [around, 6],
};
const bowl = Object.entries(shares).flatMap(([name, [errand, share]]) =>
  Array.from({ length: share }, () => [name, errand] as const),
);

/** Goes on one errand of those there are. @returns its name, and what came of it. */
export async function goOut(bag: Bag): Promise<readonly [name: string, outcome: Outcome]> {
  const [name, errand] = pick(bag.random, bowl);
  const outcome = await errand(bag).catch((error: Error) => fault(`${error.message} (${String(error.cause ?? "")})`));
  return [name, outcome];
}

/** Asks everything that is known once more, one after the other. @returns faults. */
export async function askAgain(target: Target, known: readonly Known[]): Promise<string[]> {
  const faults: string[] = [];
  for (const one of known) {
    const response = await post(target, one.path, one.body);
    const outcome =
      response.status === 200 ? compare(one, textOf((await response.json()).choices[0])) : await refusalOf(response);
    if (typeof outcome === "object") faults.push(outcome.fault);
  }
  return faults;
}
