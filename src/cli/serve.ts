import { type Command, Option } from "commander";
import { Engine } from "../batch/engine.ts";
import { divideFree } from "../batch/room.ts";
import type { DeviceName } from "../device/open.ts";
import { readSmall } from "../file/disk.ts";
import { load } from "../generate/load.ts";
import { type Constrainer, openConstrainer } from "../server/constrain/constrainer.ts";
import { localHosts } from "../server/guard.ts";
import { listen } from "../server/listen.ts";
import { Metrics } from "../server/metrics.ts";
import { checkNames, placeOf, placesIn } from "../server/places.ts";
import { type Place, Registry } from "../server/registry.ts";
import type { Served } from "../server/served.ts";
import { createApp } from "../server/server.ts";
import { ShapeError } from "../tensor/error.ts";
import type { CacheType } from "../tensor/page.ts";
import { openTemplate } from "../tokenizer/template.ts";
import { endInterrupted, interruptible } from "./interrupt.ts";
import { bytesOption, deviceOption, wholeOption } from "./option.ts";
import { patient } from "./progress.ts";
import { versions } from "./version.ts";

/** Seconds that clients have to read why their requests were ended. */
const FAREWELL = 1;

interface ServeOptions {
  models?: string;
  host: string;
  port: number;
  apiKey?: string[];
  cors?: string[];
  context?: number;
  cache: CacheType;
  chatTemplate?: string;
  prefixes?: number;
  cacheDir?: string;
  slots: number;
  queue: number;
  timeout: number;
  threads?: number;
  device: DeviceName;
  isolate?: true;
  bodyLimit: number;
  grace: number;
  json?: true;
}

/** `biform serve`: an OpenAI-compatible server. */
export function serveCommand(command: Command): void {
  const many = (text: string, all: string[] = []) => [...all, text];
  command
    .argument(
      "[models...]",
      "checkpoint folders or GGUF files, loaded at once; their names are those of file or folder",
    )
    .option("--models <dir>", "a folder of models: each is loaded when it is first asked for by name")
    .option("--host <address>", "where to listen; 0.0.0.0 for other machines too", "127.0.0.1")
    .option("--port <n>", "0 takes one that is free", wholeOption("--port", 0), 8080)
    .addOption(
      new Option("--api-key <key>", "let in only who brings this key; may be given several times")
        .argParser(many)
        .env("BIFORM_API_KEY"),
    )
    .option(
      "--cors <origin>",
      "let pages of this origin, or of any by *, read answers; may be given several times",
      many,
    )
    .option("--context <n>", "tokens of prompt and answer together (default: the model's)", wholeOption("--context"))
    .addOption(new Option("--cache <type>", "numbers of the cache").choices(["f32", "bf16", "q8"]).default("f32"))
    .option("--chat-template <file>", "a Jinja template instead of the models' own, such as one that knows tools")
    .option(
      "--prefixes <size>",
      "memory that beginnings of requests may keep for later ones, of each model, such as 512MiB; 0 keeps none (default: 4GiB, or " +
        "what one request of the whole context takes where that is more)",
      bytesOption("--prefixes"),
    )
    .option("--cache-dir <dir>", "keep prefixes there for after a restart, at most 4 GiB for each model")
    .option("--slots <n>", "sequences of a model that run at once", wholeOption("--slots"), 16)
    .option("--queue <n>", "sequences of a model that may wait", wholeOption("--queue", 0), 256)
    .option("--timeout <s>", "seconds that a request may take", wholeOption("--timeout"), 600)
    .option("--threads <n>", "threads (default: up to all cores, as many as are the fastest)", wholeOption("--threads"))
    .addOption(deviceOption("wasm", "webgpu"))
    .option("--isolate", "share cached prefixes within one API key alone, so that timing tells nothing of others")
    .option("--body-limit <MB>", "most megabytes of a request", wholeOption("--body-limit"), 16)
    .option("--grace <s>", "seconds that requests have to end in after Ctrl-C", wholeOption("--grace", 0), 30)
    .option("--json", "a JSON line once it listens, instead of words")
    .addHelpText(
      "after",
      `
Examples:
  biform serve model.gguf
  biform serve llama.gguf models/youtu-2b --port 8000 --cache bf16
  biform serve --models ~/models --api-key "$KEY" --host 0.0.0.0
  curl localhost:8080/v1/chat/completions -H 'Content-Type: application/json' \\
    -d '{"model": "model", "messages": [{"role": "user", "content": "Hello!"}]}'

Caches take at most nine tenths of the memory that weights leave free; models named together have equal parts of it, one of --models
half of what those before it have left. What runs goes before what is kept (--prefixes). Ctrl-C ends it once what runs has ended; a second one at once.`,
    )
    .action(run);
}

async function run(paths: string[], options: ServeOptions): Promise<void> {
  const { models, host, port, json } = options;
  if (!paths.length && models === undefined)
    throw new ShapeError("serve: got no model, expected one: biform serve MODEL, or biform serve --models DIR");
  const places = [...(await Promise.all(paths.map(placeOf))), ...(models === undefined ? [] : await placesIn(models))];
  checkNames(places);
  const named = places.slice(0, paths.length);
  // Models of a folder that may come later have the part of one more, which those that come share by halves.
  const others = places.length > named.length;
  const sizes = named.map(({ bytes }) => bytes);
  const share = places.length > 1 && named.length ? divideFree(others ? [...sizes, 0] : sizes) : undefined;
  const interrupt = interruptible();
  const late = new AbortController();
  const registry = new Registry(
    places,
    (place, left) => {
      const half = places.length > 1 ? divideFree([place.bytes, 0], left) : undefined;
      return open(place, options, { bytes: named.includes(place) ? share : half, signal: interrupt.signal });
    },
    () => process.availableMemory(),
  );
  try {
    // What is named is there before the first request.
    for (const { name } of named) (await registry.lease(name)).release();
    const local = isLocal(host);
    const app = createApp(
      {
        registry,
        seconds: options.timeout,
        metrics: new Metrics(registry),
        version: versions().biform,
        tell: (error) => console.error(error),
        ending: late.signal,
      },
      {
        keys: options.apiKey ?? [],
        isolate: options.isolate ?? false,
        origins: options.cors ?? [],
        hosts: local ? [...new Set([...localHosts, host])] : undefined,
        bodyBytes: options.bodyLimit * 1e6,
      },
    );
    const listening = await listen(app, host, port);
    announce(registry, listening.url, options);
    if (!json && !local && !options.apiKey)
      process.stderr.write("note: whoever reaches this address may use it; --api-key asks for a key\n");
    await new Promise<void>((resolve) => interrupt.signal.addEventListener("abort", () => resolve(), { once: true }));
    process.stderr.write("ending once what runs has ended; Ctrl-C again ends at once\n");
    // Who is still at it then is told so, and cut where it does not take that in.
    const grace = setTimeout(() => late.abort(), 1000 * options.grace);
    const cut = setTimeout(() => listening.cut(), 1000 * (options.grace + FAREWELL));
    await Promise.all([listening.stop(), registry.close({ drain: true })]);
    for (const timer of [grace, cut]) clearTimeout(timer);
  } catch (error) {
    endInterrupted(interrupt.signal, error);
  } finally {
    interrupt.end();
  }
}

/** A template from a file of its own. Throws FormatError. */
async function readTemplate(file: string): Promise<string> {
  return new TextDecoder().decode(await readSmall(file, 1_000_000));
}

/** Whether only this machine reaches a host. */
function isLocal(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\./.test(host);
}

/** Loads a model for its engine, whose caches may take `bytes`. Throws as `load`. */
async function open(
  place: Place,
  options: ServeOptions,
  { bytes: most, signal }: { readonly bytes: number | undefined; readonly signal: AbortSignal },
): Promise<Served> {
  const { name, path } = place;
  const given = options.chatTemplate === undefined ? undefined : await readTemplate(options.chatTemplate);
  const display = patient({ title: `loading ${path}`, total: 1e6 });
  const loaded = await load(path, {
    threads: options.threads,
    device: options.device,
    signal,
    warn: (line) => process.stderr.write(`note: ${line}\n`),
    watch: (done, total) => display.update({ done: (1e6 * done) / total, label: "" }),
  }).finally(() => display.finish());
  const { model, bytes, tokenizer, tokens, end, sampling } = loaded;
  const template = given === undefined ? loaded.template : openTemplate(options.chatTemplate!, given, tokens);
  try {
    const { cache, context, slots, queue, prefixes, cacheDir } = options;
    const warn = (line: string) => process.stderr.write(`note: ${line}\n`);
    const engine = new Engine(loaded, { bytes: most, cache, context, slots, queue, prefixes, cacheDir, warn });
    let opened: Promise<Constrainer> | undefined;
    const constrainer =
      tokenizer && (() => (opened ??= openConstrainer({ tokenizer, vocabulary: model.vocabulary, end })));
    const close = async () => {
      await engine.close();
      await opened?.then(
        (one) => one.close(),
        () => {},
      );
      loaded.close();
    };
    return {
      name,
      path,
      created: place.created,
      vocabulary: model.vocabulary,
      context: engine.context,
      bytes,
      tokenizer,
      template,
      tokens,
      end,
      sampling,
      engine,
      constrainer,
      close,
    };
  } catch (error) {
    loaded.close();
    throw error;
  }
}

/** Says where the server is, what it serves, and how to try it. */
function announce(registry: Registry, url: string, { json }: ServeOptions): void {
  const loaded = new Map(registry.loaded.map((served) => [served.name, served]));
  const models = registry.places.map(({ name, path, bytes }) => ({
    name,
    path,
    loaded: loaded.has(name),
    bytes: loaded.get(name)?.bytes ?? bytes,
    context: loaded.get(name)?.context ?? null,
  }));
  if (json) {
    console.log(JSON.stringify({ ready: true, url, pid: process.pid, models }));
    return;
  }
  console.log(`listening on ${url}`);
  for (const { name, context, bytes, loaded } of models)
    console.log(
      `  ${name}: ${Math.ceil(bytes / 2 ** 20)} MiB${loaded ? `, context ${context}` : ", loaded when it is asked for"}`,
    );
  const model = models[0]!.name;
  console.log(`
try it:
  curl ${url}/v1/chat/completions -H 'Content-Type: application/json' \\
    -d '{"model": ${JSON.stringify(model)}, "messages": [{"role": "user", "content": "Hello!"}], "stream": true}'
  or chat at ${url} in a browser`);
}
