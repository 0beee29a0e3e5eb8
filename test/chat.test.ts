import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ReferenceDevice } from "../src/device/reference.ts";
import { conversation } from "../src/generate/chat.ts";
import { type LoadedModel, load } from "../src/generate/load.ts";
import { Session } from "../src/generate/session.ts";
import { keepShared } from "../src/generate/text.ts";
import { buildModel } from "../src/model/build.ts";
import { FormatError, ShapeError } from "../src/tensor/error.ts";
import { initialWeights } from "../src/train/initial.ts";
import { put, saveChatModel, template } from "./fixture/chat.ts";
import { biform } from "./fixture/command.ts";

const bin = fileURLToPath(new URL("../bin/biform.js", import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), "biform-chat-"));
const dir = join(scratch, "model");
let loaded: LoadedModel;
beforeAll(async () => {
  await saveChatModel(dir);
  await saveChatModel(join(scratch, "plain"));
  await put(join(scratch, "plain"), "tokenizer_config.json", { eos_token: "<end>" });
  loaded = await load(dir, { device: "reference" });
});
afterAll(() => {
  loaded.close();
  rmSync(scratch, { recursive: true, force: true });
});

const greedy = { temperature: 0, maxTokens: 6 };
const all = async <T>(steps: AsyncIterable<T>) => {
  const list: T[] = [];
  for await (const step of steps) list.push(step);
  return list;
};
const written = async (steps: AsyncIterable<{ text: string }>) => {
  const list = await all(steps);
  return list.map(({ text }) => text).join("");
};
const parts = () => ({ tokenizer: loaded.tokenizer!, template: loaded.template! });

describe("a conversation", () => {
  test("runs only what is new, and answers as a session that runs all of it", async () => {
    const text = loaded.session();
    const talk = conversation(text, parts(), [{ role: "system", content: "be the end" }]);
    for (const message of ["the end", "and then the rest"]) {
      const answer = await written(talk.say(message, greedy));
      const whole = loaded.tokenizer!.encode(await loaded.template!.render(talk.messages.slice(0, -1)));
      const fresh = loaded.session();
      expect(await written(fresh.generate(whole, greedy))).toBe(answer);
      fresh.free();
      expect(talk.prompt.tokens).toBe(whole.length);
      expect(talk.messages.at(-1)).toEqual({ role: "assistant", content: answer });
    }
    // All that the first turn read is there still.
    expect(talk.prompt.reused).toBeGreaterThanOrEqual("[system]be the end\n[user]the end\n[assistant]".length - 8);
    const before = talk.prompt.tokens;
    talk.reset();
    await written(talk.say("the end", greedy));
    expect(talk.prompt.tokens).toBeLessThan(before);
    // The same beginning again: all but the last token, whose logits have to be computed.
    expect(talk.prompt.reused).toBe(talk.prompt.tokens - 1);
    text.free();
  });

  test("says what to do where it outgrows the context, and stays as it was where nothing was answered", async () => {
    const text = loaded.session({ context: 40 });
    const talk = conversation(text, parts());
    await expect(written(talk.say("a long message, longer than forty tokens are"))).rejects.toThrow(ShapeError);
    expect(talk.messages).toEqual([]);
    const answered = await all(talk.say("short", { ...greedy, maxTokens: 100 }));
    expect(answered.at(-1)!.finish).toBe("context");
    await expect(written(talk.say("more"))).rejects.toThrow(/got \d+ tokens, expected fewer than the context of 40/);
    expect(talk.messages).toHaveLength(2);
    const stopped = new AbortController();
    stopped.abort();
    talk.reset();
    expect(await written(talk.say("short", { signal: stopped.signal }))).toBe("");
    expect(talk.messages).toEqual([]);
    text.free();
  });

  test("refusals of the template come as FormatErrors that name it", async () => {
    const text = loaded.session();
    const talk = conversation(text, parts(), [{ role: "wizard", content: "x" }]);
    await expect(written(talk.say("hello"))).rejects.toThrow(FormatError);
    await expect(written(talk.say("hello"))).rejects.toThrow(
      /tokenizer_config\.json: chat template: got "no such role"/,
    );
    text.free();
  });
});

test("going on from a common beginning leaves at least one token, and a state starts over before its first snapshot", () => {
  const device = new ReferenceDevice();
  for (const [pattern, shared] of [
    ["MLA", 3],
    ["[MLA,KDA]", 0],
  ] as const) {
    const model = buildModel(pattern, { vocabulary: 20, width: 16, heads: 2, layers: 2 });
    const session = new Session(model, initialWeights(model, device, 1), { context: 20 });
    session.append(Int32Array.of(1, 2, 3, 4, 5)).free();
    expect([...keepShared(session, Int32Array.of(1, 2, 3, 9, 9))]).toEqual([1, 2, 3, 9, 9].slice(shared));
    expect(session.length).toBe(shared);
    session.append(Int32Array.of(1, 2, 3, 9, 9).subarray(shared)).free();
    // An addition goes on where the session stands, whatever it is made of.
    expect([...keepShared(session, Int32Array.of(1, 2, 3, 9, 9, 7))]).toEqual([7]);
    expect([...keepShared(session, Int32Array.of(1, 2, 3, 9, 9))].length).toBe(shared ? 1 : 5);
    session.free();
  }
});

describe("biform chat", () => {
  const given = ["chat", "model", "--threads", "1", "--temperature", "0"];
  const chat = (input: string, ...words: string[]) => biform(scratch, [...given, ...words], input);

  test("answers each line of standard input, and obeys commands", async () => {
    const input = "the end\n\n/save kept.json\n/reset\nthe end\n/nonsense\n/help\n/quit\nnever read\n";
    const words = [...given, "--max-tokens", "8"];
    const { status, stdout, stderr } = spawnSync(process.execPath, [bin, ...words], {
      cwd: scratch,
      encoding: "utf8",
      input,
    });
    const here = await chat(input, "--max-tokens", "8");
    expect([here.status, here.stdout]).toEqual([status, stdout]);
    const text = loaded.session();
    const answer = await written(conversation(text, parts()).say("the end", { ...greedy, maxTokens: 8 }));
    text.free();
    expect([status, stdout]).toEqual([0, `${answer}\n${answer}\n`]);
    expect(stderr).toMatch(/kept in kept\.json[\s\S]*a new conversation[\s\S]*\/nonsense: no such command/);
    expect(JSON.parse(readFileSync(join(scratch, "kept.json"), "utf8")).messages).toEqual([
      { role: "user", content: "the end" },
      { role: "assistant", content: answer },
    ]);
    const more = await chat("again\n", "--resume", "kept.json", "--max-tokens", "4", "--json");
    expect(JSON.parse(more.stdout)).toMatchObject({ tokens: 4, reused: 0 });
    expect(JSON.parse(more.stdout).promptTokens).toBeGreaterThan(`[user]the end\n[assistant]${answer}`.length - 6);
  });

  test("prints a JSON line per message, also where it cannot be answered", async () => {
    const { status, stdout } = await chat(`hi\n${"x".repeat(60)}\n`, "--json", "--max-tokens", "4", "--context", "50");
    const [first, second] = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(first).toMatchObject({ finish: "length", tokens: 4, promptTokens: 20 });
    expect(second).toEqual({ error: expect.stringMatching(/context of 50/) });
    expect(status).toBe(1);
  });

  test("says in a line that there is no template, or what is wrong with the one given", async () => {
    const plain = await biform(scratch, ["chat", "plain"], "hi\n");
    expect(plain.stderr).toMatch(/biform: plain: got no chat template, expected one/);
    expect([plain.status, plain.stdout]).toEqual([1, ""]);
    await put(scratch, "mine.jinja", template.replaceAll("[", "<"));
    await put(scratch, "bad.jinja", "{% oops %}");
    expect((await chat("hi\n", "--template", "bad.jinja")).stderr).toMatch(/biform: bad\.jinja: chat template: got/);
    const broken = await chat("hi\n", "--resume", "mine.jinja");
    expect(broken.stderr).toMatch(/biform: mine\.jinja: got no valid JSON/);
    expect(broken.stderr).not.toMatch(/^\s+at /m);
  });
});
