// lm-eval over the server: what it computes is what Biform computes by itself, and what llama.cpp computes on the same file.
import { execFile } from "node:child_process";
import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openLibrary } from "../parity/llama.ts";
import { type LoadedModel, load } from "../src/generate/load.ts";
import { bound } from "../test/logits.ts";
import { makeLatents, python, type Server, serve, smol } from "./serve.ts";

const root = join(import.meta.dirname, "..");
/** Texts of long paragraphs: the first that is here. */
const text = [join(root, "..", "shared", "data", "wikitext2-test.txt"), join(root, "DESIGN.md")].find(existsSync)!;
/** Of four ends each: 24 answers of 8 words, whose every log likelihood is compared. */
const DOCUMENTS = 6;
const folder = mkdtempSync(join(tmpdir(), "biform-harness-"));
const latents = makeLatents();
const paths = [smol(), latents.path];
/** A server of each: lm-eval asks for a tokenizer without naming a model. */
let servers: readonly Server[] = [];

beforeAll(async () => {
  servers = [await serve(paths[0]!, "--context", "1024"), await serve(paths[1]!, "--context", "1024")];
});
afterAll(async () => {
  for (const server of servers) expect(await server.stop()).toBe(0);
  latents.remove();
  rmSync(folder, { recursive: true, force: true });
});

/** Tasks over paragraphs of a text: which of four ends is its own, how likely they are, and a few words written on. */
function writeTasks(): void {
  const paragraphs = readFileSync(text, "utf8")
    .split("\n")
    .filter((line) => line.length > 500)
    .slice(0, DOCUMENTS);
  const ends = paragraphs.map((line) => ` ${line.slice(200).trim().split(" ").slice(1, 9).join(" ")}`);
  const docs = paragraphs.map((line, i) => ({
    context: line.slice(0, 200).trim(),
    text: line.slice(0, 400).trim(),
    choices: [0, 1, 2, 3].map((k) => ends[(i + k) % ends.length]!),
  }));
  const data = join(folder, "docs.jsonl");
  writeFileSync(data, docs.map((doc) => `${JSON.stringify(doc)}\n`).join(""));
  const task = (name: string, lines: string) =>
    writeFileSync(
      join(folder, `${name}.yaml`),
      `task: ${name}\ndataset_path: json\ndataset_kwargs:\n  data_files:\n    test: ${data}\ntest_split: test\n${lines}`,
    );
  task(
    "ends",
    'output_type: multiple_choice\ndoc_to_text: "{{context}}"\ndoc_to_choice: "{{choices}}"\ndoc_to_target: 0\n' +
      'target_delimiter: ""\nmetric_list:\n  - metric: acc\n',
  );
  task(
    "paragraphs",
    'output_type: loglikelihood_rolling\ndoc_to_text: ""\ndoc_to_target: "{{text}}"\n' +
      "metric_list:\n  - metric: byte_perplexity\n  - metric: word_perplexity\n",
  );
  task(
    "words",
    'output_type: generate_until\ndoc_to_text: "{{context}}"\ndoc_to_target: "{{choices[0]}}"\n' +
      "generation_kwargs:\n  max_gen_toks: 6\n  temperature: 0\n  until: []\nmetric_list:\n  - metric: exact_match\n",
  );
}

/** A sample that lm-eval logged: what it asked for, and what it got. */
interface Sample {
  readonly arguments: Record<string, Record<string, string>>;
  readonly filtered_resps: readonly (readonly [string | number, string] | string | number)[];
}

/** Runs tasks by one kind of client. @returns the samples of each. */
async function evaluate(client: string, path: string, server: Server, tasks: string, extra: readonly string[] = []) {
  const [model] = server.models;
  const out = join(folder, `${client}-${model}`);
  mkdirSync(out, { recursive: true });
  const settings = `base_url=${server.url}${path},model=${model},num_concurrent=2,max_length=1024,max_retries=1,timeout=3600`;
  const args = ["-m", "lm_eval", "run", "--model", client, "--model_args"];
  const backend = client === "local-completions" ? ",tokenizer_backend=remote" : "";
  args.push(
    settings + backend,
    "--tasks",
    tasks,
    "--include_path",
    folder,
    "--output_path",
    out,
    "--log_samples",
    ...extra,
  );
  await promisify(execFile)(python, args, {
    env: { ...process.env, HF_HUB_OFFLINE: "1", HF_DATASETS_CACHE: join(folder, "cache"), OPENAI_API_KEY: "none" },
    maxBuffer: 1e8,
  });
  return Object.fromEntries(
    tasks.split(",").map((task) => {
      const [file] = globSync(join(out, "**", `samples_${task}_*.jsonl`));
      const samples = readFileSync(file!, "utf8")
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as Sample);
      return [task, samples];
    }),
  ) as Record<string, Sample[]>;
}

/** Log probabilities of ids after the first, by logits `[ids, vocabulary]`. */
function scoresOf(ids: ArrayLike<number>, logits: ArrayLike<number>): number[] {
  const width = logits.length / ids.length;
  return Array.from({ length: ids.length - 1 }, (_, i) => {
    let [most, sum] = [Number.NEGATIVE_INFINITY, 0];
    for (let k = i * width; k < (i + 1) * width; k++) most = Math.max(most, logits[k]!);
    for (let k = i * width; k < (i + 1) * width; k++) sum += Math.exp(logits[k]! - most);
    return logits[i * width + ids[i + 1]!]! - most - Math.log(sum);
  });
}

/** The standard deviation of many numbers. */
function spreadOf(numbers: ArrayLike<number>): number {
  let [first, second] = [0, 0];
  for (let i = 0; i < numbers.length; i++) {
    first += numbers[i]!;
    second += numbers[i]! ** 2;
  }
  return Math.sqrt(second / numbers.length - (first / numbers.length) ** 2);
}

const sum = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0);

/** Ids that a sample's log likelihood is of, and how many of them come before. */
function askedOf(model: LoadedModel, [context, end]: readonly [string, string]) {
  const { tokenizer } = model;
  return { ids: tokenizer!.encode(context + end), before: tokenizer!.encode(context).length };
}

describe("lm-eval", () => {
  beforeAll(writeTasks);

  test.each([0, 1])(
    "model %i: log likelihoods are Biform's own to 1e-4, and llama.cpp's within its rounding",
    async (index) => {
      const got = await evaluate("local-completions", "/v1/completions", servers[index]!, "ends,paragraphs");
      const path = paths[index]!;
      const model = await load(path, { threads: 1 });
      const opened = index === 0 ? await openLibrary() : undefined;
      if (opened && "missing" in opened) throw new Error(`${opened.missing}; nothing was compared`);
      const llama = await opened?.open(path, { context: 1024, threads: 1 });
      const own = async (ids: Int32Array) => {
        const session = model.session();
        try {
          return (await session.logits(ids))!;
        } finally {
          session.free();
        }
      };
      const errors: number[] = [];
      let spread = 0;
      for (const { arguments: asked, filtered_resps: answers } of got.ends!)
        for (const [i, { arg_0: context, arg_1: end }] of Object.values(asked).entries()) {
          const { ids, before } = askedOf(model, [context!, end!]);
          const logits = await own(ids);
          const scores = scoresOf(ids, logits).slice(before - 1);
          expect(Number((answers[i] as readonly [string, string])[0])).toBeCloseTo(sum(scores), 4);
          if (!llama) continue;
          llama.truncate(0);
          // A row of logits comes from there number by number: the ends' rows alone.
          const [begin, rest] = [[...ids.subarray(0, before - 1)], [...ids.subarray(before - 1)]];
          await llama.append(begin);
          const theirs = scoresOf(rest, await llama.logits(rest));
          errors.push(...scores.map((score, k) => (score - theirs[k]!) ** 2));
          spread = Math.max(spread, spreadOf(logits));
        }
      if (llama) {
        // llama.cpp rounds activations to 8 bits for Q4_1, as for Q4_0; test/logits.ts derives the bound.
        expect(Math.sqrt(sum(errors) / errors.length) / spread).toBeLessThan(bound("Q4_0", model.model.layers.length));
        await llama.close();
      }
      const idOf = (name: string) => model.tokenizer!.id(model.tokens[name] ?? "");
      // The harness takes the first id of the begin token, and that of the end token where it is 0.
      const first = (idOf("bos_token") || idOf("eos_token"))!;
      for (const { arguments: asked, filtered_resps: answers } of got.paragraphs!) {
        const ids = model.tokenizer!.encode(Object.values(asked)[0]!.arg_0!);
        const scores = scoresOf([first, ...ids], await own(Int32Array.of(first, ...ids)));
        const [answer] = [answers[0]!].flat();
        expect(Math.abs(Number(answer) - sum(scores))).toBeLessThan(1e-4 * Math.max(1, Math.abs(sum(scores)) / 100));
      }
      model.close();
    },
  );

  test("chat: what it gets is what the model says", async () => {
    const server = servers[0]!;
    const [model] = server.models;
    const got = await evaluate("local-chat-completions", "/v1/chat/completions", server, "words", [
      "--apply_chat_template",
      "--limit",
      "4",
    ]);
    for (const { arguments: asked, filtered_resps: answers } of got.words!) {
      const messages = JSON.parse([Object.values(asked)[0]!.arg_0].flat()[0]!);
      const response = await fetch(`${server.url}/v1/chat/completions`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ model, messages, temperature: 0, max_tokens: 6 }),
      });
      const { choices } = (await response.json()) as { choices: { message: { content: string } }[] };
      expect(answers[0]).toBe(choices[0]!.message.content);
    }
  });
});
