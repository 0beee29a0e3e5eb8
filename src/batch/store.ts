import { createHash } from "node:crypto";
import { mkdir, readdir, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { fingerprint, outlineSession } from "../generate/saved.ts";
import { Session, type SessionOptions } from "../generate/session.ts";
import type { Speaker } from "../generate/text.ts";
import { DeviceError, FormatError } from "../tensor/error.ts";
import { Radix } from "./radix.ts";

/** Where prefixes are kept, how many bytes of them, and who is told what goes wrong. */
export interface StoreOptions {
  readonly folder: string;
  readonly limit: number;
  readonly session: SessionOptions;
  readonly warn: (line: string) => void;
}

/** A prefix in a file. */
interface Saved {
  readonly path: string;
  readonly tokens: Int32Array;
  /** Tokens that its snapshot is of, where layers have states. */
  readonly before: number | undefined;
  readonly bytes: number;
  used: number;
}

/** A file that a sequence can go on from, and the tokens that it spares. */
export interface Stored {
  readonly file: Saved;
  readonly length: number;
}

const NAME = /^([0-9a-f]{32})-[0-9a-f]{32}\.session$/;
/** What a killed process was writing (`writeAtomic`), and the age from which on nobody is any longer. */
const REST = /^\..*\.tmp$/;
const STALE_MS = 3_600_000;

/**
 * Prefixes in files, for after a restart: one folder for each model and cache type, whose names do not tell realms. What is used least
 * goes first where they grow beyond their limit. A file that cannot be read is deleted with a note; where one cannot be written, no
 * more are.
 */
export class Store {
  /** Bytes of all files. */
  bytes = 0;
  /** Whether files are still written. */
  writes = true;
  readonly #speaker: Speaker;
  readonly #options: StoreOptions;
  readonly #folder: string;
  readonly #hasState: boolean;
  readonly #trees = new Map<string, Radix<Saved>>();
  readonly #loading = new Map<Saved, Promise<Session | undefined>>();

  private constructor(speaker: Speaker, options: StoreOptions, folder: string, hasState: boolean) {
    this.#speaker = speaker;
    this.#options = options;
    this.#folder = folder;
    this.#hasState = hasState;
  }

  /** Looks at what is there. A folder that cannot be used is told, and nothing is kept in it. */
  static async open(speaker: Speaker, options: StoreOptions): Promise<Store> {
    const session = new Session(speaker.model, speaker.weights, options.session);
    try {
      const folder = join(options.folder, `${await fingerprint(session)}-${session.cache}`);
      const hasState = session.caches.some(({ state }) => Object.keys(state).length > 0);
      const store = new Store(speaker, options, folder, hasState);
      try {
        // Prompts of strangers lie in it.
        await mkdir(folder, { recursive: true, mode: 0o700 });
        for (const name of await readdir(folder)) await store.#enter(name, session);
        await store.#shrink();
      } catch (error) {
        store.#stop(error as Error);
      }
      return store;
    } finally {
      session.free();
    }
  }

  /** The file that spares most of `ids` but the last, of which logits are to come. */
  find(realm: string, ids: Int32Array): Stored | undefined {
    const tree = this.#trees.get(keyOf(realm));
    if (!tree) return undefined;
    const { length: common, node } = tree.match(ids.subarray(0, -1));
    let best: Stored | undefined;
    const look = (file: Saved) => {
      const length = this.#spares(file, common);
      if (length > (best?.length ?? 0)) best = { file, length };
    };
    for (const { value } of tree.values(node)) look(value!);
    for (let up = node.parent; up; up = up.parent) if (up.value) look(up.value);
    return best;
  }

  /** Whether a file is being read now. */
  isLoading(file: Saved): boolean {
    return this.#loading.has(file);
  }

  /** A session from a file; undefined where it cannot be read. */
  load(file: Saved): Promise<Session | undefined> {
    const loading = this.#read(file).finally(() => this.#loading.delete(file));
    this.#loading.set(file, loading);
    return loading;
  }

  /** Whether saving a session of these tokens would add nothing. */
  holds(realm: string, tokens: Int32Array): boolean {
    const match = this.#trees.get(keyOf(realm))?.match(tokens);
    if (match?.length !== tokens.length) return false;
    return !this.#hasState || (match.node.end === tokens.length && match.node.value !== undefined);
  }

  /** Writes a session, which may change meanwhile; files of its first tokens alone go for it. */
  async save(realm: string, session: Session): Promise<void> {
    if (!this.writes || session.bytes > this.#options.limit) return;
    const { tokens } = session;
    const path = join(this.#folder, `${keyOf(realm)}-${hash(new Uint8Array(tokens.buffer))}.session`);
    const own = forkOf(session);
    if (!own) return;
    try {
      await own.save(path);
      const before = own.past?.snapshot?.length;
      await this.#add(keyOf(realm), { path, tokens, before, bytes: (await stat(path)).size, used: Date.now() });
    } catch (error) {
      this.#stop(error as Error);
      return;
    } finally {
      own.free();
    }
    await this.#shrink();
  }

  async #read(file: Saved): Promise<Session | undefined> {
    try {
      const { model, weights } = this.#speaker;
      const session = await Session.load(file.path, model, weights, this.#options.session);
      file.used = Date.now();
      await utimes(file.path, new Date(), new Date()).catch(() => {});
      return session;
    } catch (error) {
      await this.#reject(file.path, error as Error);
      this.#forget(file);
      return undefined;
    }
  }

  async #enter(name: string, session: Session): Promise<void> {
    const path = join(this.#folder, name);
    const realm = NAME.exec(name)?.[1];
    try {
      const { size, mtimeMs } = await stat(path);
      if (REST.test(name) && Date.now() - mtimeMs > STALE_MS) await rm(path, { force: true });
      if (realm === undefined) return;
      const { tokens, before } = await outlineSession(path, session);
      await this.#add(realm, { path, tokens, before, bytes: size, used: mtimeMs });
    } catch (error) {
      await this.#reject(path, error as Error);
    }
  }

  async #add(realm: string, file: Saved): Promise<void> {
    const tree = this.#trees.get(realm) ?? new Radix<Saved>();
    this.#trees.set(realm, tree);
    const { node, replaced } = tree.add(file.tokens, file);
    this.bytes += file.bytes - (replaced?.bytes ?? 0);
    if (this.#hasState) return;
    for (let up = node.parent; up; up = up.parent) if (up.value) await this.#delete(up.value);
  }

  /** Least used files go until the rest is within the limit. */
  async #shrink(): Promise<void> {
    while (this.bytes > this.#options.limit) {
      const files = [...this.#trees.values()]
        .flatMap((tree) => [...tree.values()].map(({ value }) => value!))
        .filter((file) => !this.#loading.has(file));
      if (!files.length) return;
      await this.#delete(files.reduce((a, b) => (b.used < a.used ? b : a)));
    }
  }

  async #delete(file: Saved): Promise<void> {
    this.#forget(file);
    await rm(file.path, { force: true }).catch((error) =>
      this.#options.warn(`${file.path}: ${(error as Error).message}`),
    );
  }

  #forget(file: Saved): void {
    for (const [realm, tree] of this.#trees) {
      const { length, node } = tree.match(file.tokens);
      if (length !== file.tokens.length || node.value !== file) continue;
      tree.remove(node);
      this.bytes -= file.bytes;
      if (!tree.size) this.#trees.delete(realm);
    }
  }

  /** A file that is not what it claims to be goes; one that only could not be read now stays. */
  async #reject(path: string, error: Error): Promise<void> {
    this.#options.warn(error.message);
    if (error instanceof FormatError) await rm(path, { force: true }).catch(() => {});
  }

  #stop(error: Error): void {
    if (this.writes) this.#options.warn(`${error.message}; prefixes are no longer written`);
    this.writes = false;
  }

  #spares({ tokens, before = 0 }: Saved, common: number): number {
    if (!this.#hasState) return Math.min(common, tokens.length);
    return common >= tokens.length ? tokens.length : before <= common ? before : 0;
  }
}

/** The same for as long as it is being written; undefined where there is no memory for its states. */
function forkOf(session: Session): Session | undefined {
  try {
    return session.fork();
  } catch (error) {
    if (error instanceof DeviceError) return undefined;
    throw error;
  }
}

const hash = (data: string | Uint8Array) => createHash("sha256").update(data).digest("hex").slice(0, 32);

/** A realm's name for files: it may come from a key. */
const keyOf = (realm: string) => hash(`realm ${realm}`);
