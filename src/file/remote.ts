import { FormatError } from "../tensor/error.ts";
import { type ByteSource, tooShort } from "./bytes.ts";
import { type Answer, ask, bodyOf, type RequestOptions } from "./request.ts";

/** A file on a server, of which only what is asked for is fetched. */
export interface RemoteSource extends ByteSource {
  /** Ends what is under way. */
  close(): void;
}

/** Requests are for whole blocks, so that a header's small reads are few requests. */
const MIB = 1 << 20;

/** The most that is fetched of one file: more than a header may have. */
const REMOTE_LIMIT = 300 * MIB;

/** The most that is taken from a server that knows no ranges, before it is hung up on. */
const STREAM_LIMIT = 64 * MIB;

/**
 * The whole of a file on a server, which must be small (a configuration).
 *
 * Errors: FormatError naming the address for one that cannot be reached, redirects without end or to plain http, answers with an
 * error, with a web page, with more than `limit` bytes, or too slowly.
 */
export async function readRemote(
  url: string,
  limit: number,
  options?: RequestOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  const answer = await ask(url, options);
  const { name, response } = answer;
  if (response.status !== 200) throw answer.refuse(`status ${response.status}`, "200 and a file");
  const size = lengthOf(answer);
  if (size !== undefined && size > limit)
    throw answer.refuse(`${size} bytes`, `at most ${limit}; this is not the file it should be`);
  const body = bodyOf(answer);
  const pieces: Uint8Array[] = [];
  let have = 0;
  for (let piece = await body.next(); piece; piece = await body.next()) {
    have += piece.length;
    if (have > limit)
      throw answer.refuse(`more than ${limit} bytes`, "a small file; this is not the file it should be");
    pieces.push(piece);
  }
  if (size !== undefined && have !== size && !isEncoded(response))
    throw new FormatError(`${name}: got ${have} bytes, expected ${size}; the connection ended early, try again`);
  const all = new Uint8Array(have);
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

/**
 * A file on a server, read by range requests in blocks that are kept. A server that knows no ranges is read from the start as far
 * as is asked for, and no further than a header may take.
 *
 * Errors: as `readRemote`, and FormatError where what comes is not what was asked for, or the file changes between requests.
 */
export async function remoteSource(url: string, options?: RequestOptions): Promise<RemoteSource> {
  const unit = options?.block ?? MIB;
  const answer = await ask(url, options, [0, unit - 1]);
  const { status } = answer.response;
  if (status === 200) return openStreamed(answer);
  if (status !== 206) throw answer.refuse(`status ${status}`, "206 and the range that was asked for");
  const { size, bytes } = await openRanged(answer, 0, unit);
  const blocks = new Map([[0, bytes]]);
  const tag = tagOf(answer);
  let fetched = bytes.length;
  const fetchBlocks = async (first: number, last: number) => {
    const [from, to] = [first * unit, Math.min(size, (last + 1) * unit)];
    fetched += to - from;
    if (fetched > REMOTE_LIMIT)
      throw answer.refuse(`requests for ${fetched} bytes`, `at most ${REMOTE_LIMIT}, more than a header has`);
    const next = await ask(answer.address, options, [from, to - 1]);
    if (next.response.status !== 206) throw next.refuse(`status ${next.response.status}`, "206, as before");
    if (tagOf(next) !== tag) throw next.refuse("a file that changed between two requests", "the same; try again");
    const part = await openRanged(next, from, to - from);
    if (part.size !== size) throw next.refuse(`${part.size} bytes in all`, `${size}, as before; try again`);
    for (let block = first; block <= last; block++)
      blocks.set(block, part.bytes.subarray((block - first) * unit, (block - first + 1) * unit));
  };
  return {
    name: answer.name,
    size,
    close() {},
    async read(offset, into) {
      if (offset + into.length > size) throw tooShort(answer.name, offset, into.length, size);
      if (into.length === 0) return;
      const [first, last] = [Math.floor(offset / unit), Math.floor((offset + into.length - 1) / unit)];
      for (let block = first; block <= last; block++) {
        if (blocks.has(block)) continue;
        let until = block;
        while (until < last && !blocks.has(until + 1)) until++;
        await fetchBlocks(block, until);
      }
      for (let block = first; block <= last; block++) {
        const start = Math.max(offset, block * unit);
        const end = Math.min(offset + into.length, (block + 1) * unit);
        into.set(blocks.get(block)!.subarray(start - block * unit, end - block * unit), start - offset);
      }
    },
  };
}

/** The bytes of a 206, held against what was asked for. */
async function openRanged(answer: Answer, from: number, length: number) {
  const { response, name } = answer;
  const stated = response.headers.get("content-range") ?? "";
  const [, first, last, total] = /^bytes (\d{1,16})-(\d{1,16})\/(\d{1,16})$/.exec(stated) ?? [];
  const size = Number(total);
  const end = Math.min(from + length, size);
  if (Number(first) !== from || Number(last) !== end - 1 || !Number.isSafeInteger(size) || isEncoded(response))
    throw answer.refuse(
      `content-range ${JSON.stringify(stated.slice(0, 80))}`,
      `bytes ${from}-${from + length - 1} or up to the end, and the size of the file`,
    );
  const bytes = new Uint8Array(end - from);
  const body = bodyOf(answer);
  let have = 0;
  for (let piece = await body.next(); piece; piece = await body.next()) {
    if (have + piece.length > bytes.length) throw answer.refuse("more bytes than the range has", `${bytes.length}`);
    bytes.set(piece, have);
    have += piece.length;
  }
  if (have < bytes.length)
    throw new FormatError(
      `${name}: got ${have} bytes of a range of ${bytes.length}; the connection ended early, try again`,
    );
  return { size, bytes };
}

/** A file that is sent whole, taken as far as it is asked for. */
async function openStreamed(answer: Answer): Promise<RemoteSource> {
  const { name, response } = answer;
  const stated = isEncoded(response) ? undefined : lengthOf(answer);
  const body = bodyOf(answer);
  let bytes = new Uint8Array(0);
  let have = 0;
  let done = false;
  const fill = async (end: number) => {
    while (have < end && !done) {
      const piece = await body.next();
      if (!piece) done = true;
      else {
        if (have + piece.length > bytes.length) {
          const more = new Uint8Array(Math.max(MIB, 2 * (have + piece.length)));
          more.set(bytes.subarray(0, have));
          bytes = more;
        }
        bytes.set(piece, have);
        have += piece.length;
      }
    }
  };
  // Of an unknown length all is taken, up to the limit.
  if (stated === undefined) await fill(STREAM_LIMIT);
  const size = stated ?? have;
  if (done || have >= STREAM_LIMIT) body.close();
  return {
    name,
    size,
    close: () => body.close(),
    async read(offset, into) {
      const end = offset + into.length;
      if (end > size) throw tooShort(name, offset, into.length, size);
      if (end > STREAM_LIMIT)
        throw answer.refuse(
          `a server without range requests and a header that goes on after ${STREAM_LIMIT} bytes`,
          "its end before that; fetch the file yourself",
        );
      await fill(end);
      if (have < end) throw tooShort(name, offset, into.length, have);
      into.set(bytes.subarray(offset, end));
    },
  };
}

function lengthOf({ response }: Answer): number | undefined {
  const stated = response.headers.get("content-length");
  return stated !== null && /^\d{1,15}$/.test(stated) ? Number(stated) : undefined;
}

/** Whether the body is compressed on its way, so that its length is another than the file's. */
const isEncoded = (response: Response) => !["identity", null].includes(response.headers.get("content-encoding"));

/** What names a file's version: a strong tag; weak ones may stand for two that differ. */
function tagOf({ response }: Answer): string | undefined {
  const tag = response.headers.get("etag");
  return tag?.startsWith('"') ? tag : undefined;
}
