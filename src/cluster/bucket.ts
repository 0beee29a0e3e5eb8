import { openAsBlob } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { AwsClient } from "aws4fetch";
import { DeviceError, FormatError } from "../tensor/error.ts";
import { randomBytes } from "../tensor/node.ts";
import type { Store } from "./store.ts";

/** What a bucket answers are names and checkpoints; a page of a list has at most 1000 names (ListObjectsV2). */
const MOST_BYTES = 5 * 2 ** 30;
const checkpointFile = /^[\w.-]{1,100}$/;

/** Where a bucket is and who asks, by the variables that AWS's own tools read. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * A prefix of an S3-compatible bucket as a store, `s3://bucket/prefix`. Claims need a bucket that takes `If-None-Match: *`.
 * Throws FormatError for a name that is none or credentials that are missing.
 */
export function bucketStore(where: string, env: Environment = process.env): Store {
  const [, bucket, prefix = ""] = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(.*?))?\/*$/.exec(where) ?? [];
  if (bucket === undefined) throw new FormatError(`--out: got ${where}, expected s3://BUCKET or s3://BUCKET/PREFIX`);
  const {
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    AWS_SESSION_TOKEN: sessionToken,
  } = env;
  if (!accessKeyId || !secretAccessKey)
    throw new FormatError(
      `${where}: got no credentials, expected AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment`,
    );
  const region = env.AWS_REGION ?? env.AWS_DEFAULT_REGION ?? "us-east-1";
  const endpoint = env.AWS_ENDPOINT_URL_S3 ?? env.AWS_ENDPOINT_URL ?? `https://s3.${region}.amazonaws.com`;
  const client = new AwsClient({
    accessKeyId,
    secretAccessKey,
    ...(sessionToken ? { sessionToken } : {}),
    region,
    service: "s3",
    retries: 4,
  });
  const root = `${endpoint.replace(/\/+$/, "")}/${bucket}`;
  const keyOf = (name: string) => (prefix === "" ? name : `${prefix}/${name}`);
  const url = (name: string) => `${root}/${keyOf(name).split("/").map(encodeURIComponent).join("/")}`;

  async function ask(address: string, init: RequestInit & { taken?: readonly number[] } = {}): Promise<Response> {
    const { taken = [], ...request } = init;
    let answer: Response;
    try {
      answer = await client.fetch(address, request);
    } catch (error) {
      throw new DeviceError(
        `${where}: got ${error instanceof Error ? error.message : error}, expected an answer of ${endpoint}; check AWS_ENDPOINT_URL and the network`,
        {
          cause: error,
        },
      );
    }
    if (answer.ok || taken.includes(answer.status)) return answer;
    const code = /<Code>([\w.]{1,80})<\/Code>/.exec((await answer.text()).slice(0, 4000))?.[1];
    // A signature has a time in it, and services take none that is far from their own.
    const remedy =
      code === "RequestTimeTooSkewed"
        ? "set this machine's clock"
        : "check the bucket's name, its rights and the region";
    throw new DeviceError(
      `${where}: got ${answer.status}${code ? ` ${code}` : ""}, expected it to ${request.method ?? "GET"}; ${remedy}`,
    );
  }

  async function list(start: string): Promise<string[]> {
    const names: string[] = [];
    for (let more = ""; ; ) {
      const query = new URLSearchParams({ "list-type": "2", "encoding-type": "url", prefix: keyOf(start) });
      if (more) query.set("continuation-token", more);
      const text = await (await ask(`${root}?${query}`)).text();
      for (const [, key] of text.matchAll(/<Key>([^<]*)<\/Key>/g))
        names.push(decodeURIComponent(key!.replaceAll("+", " ")).slice(prefix === "" ? 0 : prefix.length + 1));
      more = decodeXml(/<NextContinuationToken>([^<]*)<\/NextContinuationToken>/.exec(text)?.[1] ?? "");
      if (!more) return names;
    }
  }

  const put = (name: string, body: Blob | string) => ask(url(name), { method: "PUT", body });
  const remove = async (name: string) => void (await ask(url(name), { method: "DELETE", taken: [404] }));
  const folders = new Map<string, string>();

  /** The files of the checkpoint that was kept last, and the name under which they lie. */
  async function kept(name: string): Promise<{ id: string; files: string[] } | undefined> {
    const answer = await ask(url(`${name}.json`), { taken: [404] });
    if (answer.status === 404) return undefined;
    const { id, files } = (await answer.json()) as { id?: unknown; files?: unknown };
    const known =
      typeof id === "string" &&
      /^[0-9a-f]{12}$/.test(id) &&
      Array.isArray(files) &&
      files.every((file) => checkpointFile.test(String(file)));
    if (!known)
      throw new FormatError(
        `${where}/${name}.json: got no list of a checkpoint's files, expected one; remove it to begin the run anew`,
      );
    return { id: id as string, files: files as string[] };
  }

  return {
    where,
    async read(name) {
      const answer = await ask(url(name), { taken: [404] });
      return answer.status === 404 ? undefined : new Uint8Array(await answer.arrayBuffer());
    },
    write: async (name, text) => void (await put(name, text)),
    async create(name, text) {
      // 412 where there is one, 409 where another is being written at the time.
      const answer = await ask(url(name), {
        method: "PUT",
        body: text,
        headers: { "If-None-Match": "*" },
        taken: [409, 412],
      });
      return answer.ok;
    },
    list,
    async openFolder(name) {
      const dir = join(await mkdtemp(join(tmpdir(), "biform-run-")), basename(name));
      folders.set(name, dir);
      const { id, files } = (await kept(name)) ?? { id: "", files: [] };
      if (files.length > 0) await mkdir(dir);
      for (const file of files) {
        const answer = await ask(url(`${name}/${id}/${file}`));
        if (Number(answer.headers.get("content-length") ?? 0) > MOST_BYTES)
          throw new FormatError(
            `${where}/${name}/${id}/${file}: got more than ${MOST_BYTES} bytes, expected a checkpoint's file`,
          );
        await writeFile(join(dir, file), answer.body!);
      }
      return dir;
    },
    async keepFolder(name) {
      const dir = folders.get(name)!;
      const before = await kept(name);
      const [id, files] = [randomBytes(6).toString("hex"), await readdir(dir)];
      for (const file of files) await put(`${name}/${id}/${file}`, await openAsBlob(join(dir, file)));
      // The list comes last: until then what was kept before counts.
      await put(`${name}.json`, JSON.stringify({ id, files }));
      for (const file of before?.files ?? []) await remove(`${name}/${before!.id}/${file}`);
    },
    async dropFolder(name) {
      await remove(`${name}.json`);
      for (const file of await list(`${name}/`)) await remove(file);
      const dir = folders.get(name);
      if (dir !== undefined) await rm(join(dir, ".."), { recursive: true, force: true });
    },
  };
}

/** The characters that XML writes otherwise, in a token that is sent back. */
function decodeXml(text: string): string {
  const named: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };
  return text.replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|(\w{2,4}));/gi, (all, ten, hex, name) =>
    name ? (named[name] ?? all) : String.fromCodePoint(ten ? Number(ten) : Number.parseInt(hex, 16)),
  );
}
