// What Biform's tokenizers make of texts, for ids.py: a line of JSON in for each file, a line of JSON out.
import { createInterface } from "node:readline";
import { textStream } from "../src/tokenizer/stream.ts";
import { parseTokenizer } from "../src/tokenizer/tokenizer.ts";

/** A tokenizer.json's text, texts to encode, and lists of ids to decode. */
interface Asked {
  readonly name: string;
  readonly json: string;
  readonly texts: readonly string[];
  readonly lists: readonly (readonly number[])[];
}

function answer({ name, json, texts, lists }: Asked): object {
  try {
    const tokenizer = parseTokenizer(name, json);
    const attempt = <T>(run: () => T) => {
      try {
        return run();
      } catch (error) {
        return String(error);
      }
    };
    return {
      ids: texts.map((text) => attempt(() => [...tokenizer.encode(text)])),
      prompts: texts.map((text) => attempt(() => [...tokenizer.prompt(text)])),
      decoded: lists.map((ids) => attempt(() => tokenizer.decode(ids))),
      streamed: lists.map((ids) =>
        attempt(() => {
          const stream = textStream(tokenizer);
          return ids.map((id) => stream.push(id)).join("") + stream.end();
        }),
      ),
    };
  } catch (error) {
    return { refused: String(error) };
  }
}

for await (const line of createInterface({ input: process.stdin }))
  console.log(JSON.stringify(answer(JSON.parse(line))));
