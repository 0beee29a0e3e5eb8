/** Models on servers, read in a page: by ranges, each fetched once where the browser keeps files, and straight from the server where not. */
import { type ByteSource, DeviceError, type Files, FormatError, fileAddress } from "biform/run";
import { BLOCK, type Hoarded, openHoarded } from "./hoard.ts";

/** Blocks that one request asks for, so that few requests fetch much. */
const AHEAD = 4;
/** Blocks that are kept in memory where the browser keeps no files. */
const HELD = 8;
/** Bytes of a list of a hub's files. */
const LIST_LIMIT = 4 * 2 ** 20;

/** Who hears of what goes otherwise than usual, and what ends it all. */
export interface RemoteOptions {
  readonly note: (words: string) => void;
  readonly signal: AbortSignal;
}

/** The files of a model at an address, and what closes them. */
export interface RemoteFiles extends Files {
  close(): void;
}

/** Files that a checkpoint may have, asked for where a server has no list of its own. */
const usual = [
  "config.json",
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "chat_template.jinja",
  "model.safetensors",
  "model.safetensors.index.json",
];

/**
 * The files at an address: of a GGUF file (its other parts are found by name), or of a folder, which may be a model's page on the
 * hub. Throws FormatError naming the address for one that cannot be read from a page.
 */
export async function remoteFiles(address: string, options: RemoteOptions): Promise<RemoteFiles> {
  if (!/^https?:\/\/./i.test(address) || !URL.canParse(address))
    throw new FormatError(`address: got "${address.slice(0, 80)}", expected one that begins with https://; check it`);
  const url = new URL(fileAddress(address)).href;
  const sources = new Map<string, RemoteSource>();
  const close = () => {
    for (const source of sources.values()) source.close();
  };
  const opener = (base: string) => async (called: string) => {
    // Parts are found by the address of the first.
    const name = /%[0-9a-f]{2}/i.test(called) ? decodeURIComponent(called) : called;
    const known = sources.get(name) ?? (await RemoteSource.open(new URL(encodeURIComponent(name), base).href, options));
    sources.set(name, known);
    return known;
  };
  const { pathname } = new URL(url);
  if (/\.gguf$/i.test(pathname)) {
    const name = decodeURIComponent(pathname.slice(pathname.lastIndexOf("/") + 1));
    return { name: address, names: new Set([name]), open: opener(new URL(".", url).href), close };
  }
  const [, hub, model] = /^(https:\/\/huggingface\.co)\/([^/]+\/[^/?#]+)\/?$/.exec(url) ?? [];
  const base = hub ? `${hub}/${model}/resolve/main/` : url.replace(/[?#].*$/, "").replace(/\/?$/, "/");
  const names = hub ? await listed(`${hub}/api/models/${model}`, options) : await present(base, options);
  return { name: address, names, open: opener(base), close };
}

/** The names that the hub has of a model, its folders left out. */
async function listed(url: string, options: RemoteOptions): Promise<Set<string>> {
  const response = await ask(url, options);
  const text = await response.text();
  const list: unknown = text.length < LIST_LIMIT ? JSON.parse(text) : undefined;
  const siblings = (list as { siblings?: { rfilename?: unknown }[] } | undefined)?.siblings;
  if (!Array.isArray(siblings))
    throw new FormatError(`${url}: got no list of files, expected one; give a file's address`);
  return new Set(siblings.map(({ rfilename }) => String(rfilename)).filter((name) => !name.includes("/")));
}

/** Which of the usual names there are. */
async function present(base: string, options: RemoteOptions): Promise<Set<string>> {
  const found = await Promise.all(
    usual.map(async (name) => {
      const { ok } = await fetchOf(new URL(name, base).href, { method: "HEAD", signal: options.signal });
      return ok ? [name] : [];
    }),
  );
  return new Set(found.flat());
}

async function fetchOf(url: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, { ...init, credentials: "omit", referrerPolicy: "no-referrer" });
  } catch (error) {
    init.signal?.throwIfAborted();
    throw new FormatError(
      `${url}: got no answer that a page may read (${(error as Error).message}), expected a server that allows pages of others (CORS); ` +
        "download the file and drop it here",
      { cause: error },
    );
  }
}

async function ask(url: string, { signal }: RemoteOptions, headers: Record<string, string> = {}): Promise<Response> {
  const response = await fetchOf(url, { signal, headers });
  if (!response.ok)
    throw new FormatError(
      `${url}: got status ${response.status}, expected the file; ${response.status === 401 || response.status === 403 ? "where it needs a login, download it and drop it here" : "check the address"}`,
    );
  return response;
}

/** One file on a server. */
class RemoteSource implements ByteSource {
  readonly name: string;
  readonly size: number;
  readonly #options: RemoteOptions;
  readonly #tag: string | undefined;
  readonly #hoarded: Hoarded | undefined;
  /** The latest blocks, where nothing is kept; in the order of their use. */
  readonly #held = new Map<number, Uint8Array>();

  private constructor(
    name: string,
    size: number,
    how: { tag: string | undefined; hoarded: Hoarded | undefined; options: RemoteOptions },
  ) {
    this.name = name;
    this.size = size;
    this.#tag = how.tag;
    this.#hoarded = how.hoarded;
    this.#options = how.options;
  }

  static async open(url: string, options: RemoteOptions): Promise<RemoteSource> {
    const response = await ask(url, options, { range: `bytes=0-${BLOCK - 1}` });
    const size = Number(/^bytes 0-\d{1,16}\/(\d{1,16})$/.exec(response.headers.get("content-range") ?? "")?.[1]);
    if (response.status !== 206 || !Number.isSafeInteger(size)) {
      await response.body?.cancel();
      throw new FormatError(
        `${url}: got a server that gives no ranges of a file to pages, expected status 206 and Content-Range; download the file and drop it here`,
      );
    }
    const tag = response.headers.get("etag") ?? undefined;
    let hoarded: Hoarded | undefined;
    try {
      hoarded = await openHoarded({ url, size, tag });
    } catch (error) {
      const reason =
        (error as DOMException).name === "NoModificationAllowedError"
          ? "another tab reads the same model"
          : `the browser keeps no files for this page (${(error as Error).name})`;
      options.note(`${reason}: it is read from the server as it is needed, and nothing of it is kept`);
    }
    const source = new RemoteSource(url, size, { tag, hoarded, options });
    if (hoarded?.has(0)) await response.body?.cancel();
    else await source.#take(response, 0, 0);
    return source;
  }

  async read(offset: number, into: Uint8Array): Promise<void> {
    if (offset + into.length > this.size)
      throw new FormatError(
        `${this.name}: byte ${offset}: got ${Math.max(0, this.size - offset)} bytes, expected ${into.length}; the file is truncated`,
      );
    // A piece of few blocks at a time, so that those that are held in memory suffice.
    for (let at = 0; at < into.length; ) {
      const block = Math.floor((offset + at) / BLOCK);
      const end = Math.min(into.length, (block + 1) * BLOCK - offset);
      if (!this.#has(block)) await this.#fetch(block);
      this.#copy(block, offset + at, into.subarray(at, end));
      at = end;
    }
  }

  close(): void {
    this.#hoarded?.close();
    this.#held.clear();
  }

  #has(block: number): boolean {
    return this.#hoarded?.has(block) ?? this.#held.has(block);
  }

  #copy(block: number, from: number, into: Uint8Array): void {
    if (this.#hoarded) {
      // Where `into` is shared with threads, a file cannot be read into it.
      const own = into.buffer instanceof ArrayBuffer ? into : new Uint8Array(into.length);
      this.#hoarded.read(from, own);
      if (own !== into) into.set(own);
    } else {
      const held = this.#held.get(block)!;
      into.set(held.subarray(from - block * BLOCK, from - block * BLOCK + into.length));
    }
  }

  /** Fetches a block, and those behind it that are not there. */
  async #fetch(first: number): Promise<void> {
    const blocks = Math.ceil(this.size / BLOCK);
    let last = first;
    while (last + 1 < Math.min(blocks, first + AHEAD) && !this.#has(last + 1)) last++;
    const [from, end] = [first * BLOCK, Math.min(this.size, (last + 1) * BLOCK)];
    const response = await ask(this.name, this.#options, { range: `bytes=${from}-${end - 1}` });
    const stated = response.headers.get("content-range");
    if (
      response.status !== 206 ||
      stated !== `bytes ${from}-${end - 1}/${this.size}` ||
      (response.headers.get("etag") ?? undefined) !== this.#tag
    )
      throw new FormatError(`${this.name}: got another file than before (${stated}), expected the same; try again`);
    await this.#take(response, first, last);
  }

  /** Takes the body of an answer that has these blocks. */
  async #take(response: Response, first: number, last: number): Promise<void> {
    const [from, end] = [first * BLOCK, Math.min(this.size, (last + 1) * BLOCK)];
    const pieces: Uint8Array<ArrayBuffer>[] = [];
    let at = from;
    for (const reader = response.body!.getReader(); ; ) {
      const { done, value } = await reader.read();
      if (done) break;
      if (at + value.length > end) throw new FormatError(`${this.name}: got more bytes than were asked for; try again`);
      try {
        this.#hoarded?.write(at, value);
      } catch (error) {
        await reader.cancel();
        throw new DeviceError(
          `storage: got no room for ${this.name} (${(error as Error).name}), expected ${this.size} bytes; clear what is kept of other models`,
          { cause: error },
        );
      }
      if (!this.#hoarded) pieces.push(value);
      at += value.length;
    }
    if (at < end)
      throw new FormatError(
        `${this.name}: got ${at - from} bytes of ${end - from}; the connection ended early, try again`,
      );
    if (this.#hoarded) {
      this.#hoarded.keep(first, last);
      return;
    }
    const all = new Uint8Array(await new Blob(pieces).arrayBuffer());
    for (let block = first; block <= last; block++) {
      this.#held.set(block, all.subarray((block - first) * BLOCK, (block - first + 1) * BLOCK));
      for (const [old] of this.#held) if (this.#held.size > HELD) this.#held.delete(old);
    }
  }
}
