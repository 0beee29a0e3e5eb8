import { z } from "zod";
import type { Blueprint } from "../cost/blueprint.ts";
import { memorySource } from "../file/bytes.ts";
import { type Listing, listShelf } from "../file/listing.ts";
import { readRemote, remoteSource } from "../file/remote.ts";
import { RequestError, type RequestOptions } from "../file/request.ts";
import { FormatError } from "../tensor/error.ts";
import { parseJson } from "../tensor/json.ts";
import { shipByFiles } from "./folder.ts";
import { nearestPreset } from "./preset/preset.ts";
import type { Reading } from "./read/config.ts";
import { blueprintOfSource, CONFIG_LIMIT } from "./read/text.ts";

/** A model on a hub, as users write it: ORG/NAME, ORG/NAME@REVISION, ORG/NAME:Q4_K_M, ORG/NAME/file.gguf. */
export interface HubName {
  /** As it was written. */
  readonly text: string;
  readonly repository: string;
  readonly revision: string;
  /** A quantisation that a GGUF file is named by. */
  readonly tag?: string | undefined;
  /** A GGUF file in it. */
  readonly file?: string | undefined;
}

/** What of the environment says where the hub is and who asks. */
export interface HubEnvironment {
  readonly HF_ENDPOINT?: string | undefined;
  readonly HF_TOKEN?: string | undefined;
}

const HUB = "https://huggingface.co";

/** The most bytes that a list of a model's files may have, and the most files. */
const [LIST_LIMIT, MOST_FILES] = [8_000_000, 50_000];

/** Headers of one model in parts are read up to so many parts; of more, the first speaks. */
const MOST_PARTS = 64;

/** Headers of weight files: what is asked for at first of each, and the most of all. */
const [HEADER_BLOCK, HEADERS_LIMIT] = [128 * 1024, 512 * 1024 * 1024];

const name = "[a-z0-9_][\\w.-]{0,95}";
const written = new RegExp(
  `^(?<repository>${name}/${name})(@(?<revision>refs/pr/\\d{1,6}|[\\w.-]{1,100}))?(:(?<tag>[\\w.-]{1,60})|/(?<file>[\\w./-]{1,200}\\.gguf))?$`,
  "i",
);

/** The model on a hub that a text names, where it can be one: no path to a file that ends as configs and models do. */
export function hubNameOf(text: string): HubName | undefined {
  const { repository, revision = "main", tag, file } = written.exec(text)?.groups ?? {};
  if (repository === undefined || /\.(json|gguf|safetensors|bin)$/i.test(repository) || /(^|\/)\.\.?(\/|$)/.test(text))
    return undefined;
  return { text, repository, revision, tag, file };
}

/**
 * The blueprint of a model on a hub, at the address that HF_ENDPOINT says: of its config.json, or of the header of a GGUF file,
 * where one is named or there is nothing else; with `files` the headers of its weight files say their bytes. HF_TOKEN is sent to
 * that hub alone. Of what is large only headers are fetched.
 *
 * Errors: FormatError saying what the hub answered (no such model, one behind terms, no network) and what to do about it.
 */
export async function openHub(
  named: HubName,
  reading: Reading,
  { HF_ENDPOINT, HF_TOKEN }: HubEnvironment,
  { files, ...options }: RequestOptions & { readonly files?: boolean | undefined } = {},
): Promise<Blueprint> {
  const endpoint = endpointOf(HF_ENDPOINT);
  const bearer = bearerOf(endpoint, HF_TOKEN);
  const hub: Hub = { named, endpoint, options: { ...options, bearer } };
  const configured = named.tag === undefined && named.file === undefined ? await openConfig(hub, reading) : undefined;
  const blueprint = configured
    ? files
      ? shipByFiles(configured, await listWeights(hub))
      : configured
    : await openGguf(hub, named.file ?? (await soleFile(hub)), reading);
  return { ...blueprint, source: `${endpoint}/${named.repository}, revision ${named.revision}` };
}

/** A model, and how its hub is asked. */
interface Hub {
  readonly named: HubName;
  readonly endpoint: string;
  readonly options: RequestOptions;
}

function endpointOf(text = ""): string {
  const endpoint = text.trim().replace(/\/+$/, "") || HUB;
  if (!URL.canParse(endpoint) || !/^https?:\/\/[^?#@]+$/i.test(endpoint))
    throw new FormatError(
      `HF_ENDPOINT: got ${JSON.stringify(endpoint.slice(0, 80))}, expected the address of a hub, such as ${HUB}; correct it or unset it`,
    );
  return endpoint;
}

function bearerOf(endpoint: string, text = ""): RequestOptions["bearer"] {
  const token = text.trim();
  if (token === "") return undefined;
  // The text itself is told to nobody.
  if (!/^[\x21-\x7e]{1,1000}$/.test(token))
    throw new FormatError("HF_TOKEN: got what no token is, expected letters and digits; correct it or unset it");
  return { origin: new URL(endpoint).origin, token };
}

const addressOf = ({ named, endpoint }: Hub, file: string) =>
  `${endpoint}/${named.repository}/resolve/${encodeURIComponent(named.revision)}/${file.split("/").map(encodeURIComponent).join("/")}`;

/** The blueprint of its config.json; undefined where the model has none. */
async function openConfig(hub: Hub, reading: Reading): Promise<Blueprint | undefined> {
  const address = addressOf(hub, "config.json");
  let bytes: Uint8Array;
  try {
    bytes = await readRemote(address, CONFIG_LIMIT, hub.options);
  } catch (error) {
    const missing = error instanceof RequestError && error.status === 404;
    if (missing && !isUnknown(error)) return undefined;
    throw explain(hub, error, "config.json");
  }
  return blueprintOfSource(memorySource(address, bytes), reading);
}

async function openGguf(hub: Hub, file: string, reading: Reading): Promise<Blueprint> {
  const opened: { close(): void }[] = [];
  const open = async (address: string) => {
    const source = await remoteSource(address, hub.options);
    opened.push(source);
    return source;
  };
  try {
    const source = await open(addressOf(hub, file));
    return await blueprintOfSource(source, reading, async (part) =>
      Number(/-of-(\d{5})\.gguf$/i.exec(part)?.[1]) <= MOST_PARTS ? open(part) : undefined,
    );
  } catch (error) {
    throw explain(hub, error, file);
  } finally {
    for (const source of opened) source.close();
  }
}

const listSchema = z.object({
  siblings: z.array(z.object({ rfilename: z.string().max(1000) })).max(MOST_FILES),
});

/** The names of all files of a model. */
async function filesOf(hub: Hub): Promise<string[]> {
  const { named, endpoint } = hub;
  const address = `${endpoint}/api/models/${named.repository}/revision/${encodeURIComponent(named.revision)}`;
  try {
    const list = listSchema.safeParse(await readJson(address, LIST_LIMIT, hub.options));
    if (list.success) return list.data.siblings.map(({ rfilename }) => rfilename);
  } catch (error) {
    throw explain(hub, error, "list of files");
  }
  throw new FormatError(`${address}: got no list of files, expected siblings with their names; check HF_ENDPOINT`);
}

/** A file's JSON. Errors: as `readRemote`, and FormatError for what is none. */
async function readJson(address: string, limit: number, options: RequestOptions): Promise<unknown> {
  const bytes = await readRemote(address, limit, options);
  try {
    return parseJson(new TextDecoder().decode(bytes));
  } catch (error) {
    throw new FormatError(`${address}: got no JSON, expected some; check HF_ENDPOINT`, { cause: error });
  }
}

/** What the headers of a model's weight files say, each read by a small range. */
async function listWeights(hub: Hub): Promise<Listing | undefined> {
  const opened: { close(): void }[] = [];
  let fetched = 0;
  const watch = (bytes: number) => {
    hub.options.watch?.(bytes);
    fetched += bytes;
    if (fetched > HEADERS_LIMIT)
      throw new FormatError(
        `${hub.named.text}: got more than ${HEADERS_LIMIT} bytes of headers of weight files, expected fewer; plan without --weights file`,
      );
  };
  const options = { ...hub.options, block: HEADER_BLOCK, watch };
  try {
    return await listShelf({
      name: `${hub.endpoint}/${hub.named.repository}`,
      files: new Set(await filesOf(hub)),
      readIndex: (file, limit) => readJson(addressOf(hub, file), limit, options),
      async open(file) {
        const source = await remoteSource(addressOf(hub, file), options);
        opened.push(source);
        return source;
      },
    });
  } catch (error) {
    throw explain(hub, error, "weight files");
  } finally {
    for (const source of opened) source.close();
  }
}

/** The one GGUF file that is meant: the only one, or the one with the tag. Of a model in parts, the first. */
async function soleFile(hub: Hub): Promise<string> {
  const { named, endpoint } = hub;
  const files = (await filesOf(hub))
    .filter((file) => /\.gguf$/i.test(file) && !/(^|\/)(mmproj|imatrix)[^/]*$|imatrix\.gguf$/i.test(file))
    .filter((file) => !/-(?!00001-)\d{5}-of-\d{5}\.gguf$/i.test(file));
  const { tag } = named;
  const meant = tag === undefined ? files : files.filter((file) => tagged(file, tag));
  if (meant.length === 1) return meant[0]!;
  const tags = files.slice(0, 12).join(", ");
  if (files.length === 0)
    throw new FormatError(
      `${named.text}: got no config.json and no GGUF file at ${endpoint}, expected one of either; name another model`,
    );
  throw new FormatError(
    `${named.text}: got ${meant.length} GGUF files${tag === undefined ? " and no config.json" : ` for ${tag}`}, expected one; ` +
      `name one of these as ${named.repository}/FILE: ${tags.slice(0, 900)}${files.length > 12 ? ", ..." : ""}`,
  );
}

/** Whether a file's name ends with the tag, or lies in a folder of that name. */
function tagged(file: string, tag: string): boolean {
  const bare = file.toLowerCase().replace(/(-\d{5}-of-\d{5})?\.gguf$/, "");
  const wanted = tag.toLowerCase();
  return bare === wanted || ["-", ".", "_", "/"].some((before) => bare.endsWith(before + wanted));
}

/** Whether a hub says that it does not know the model or its revision, rather than one file of it. */
const isUnknown = ({ code }: RequestError) => code === "RepoNotFound" || code === "RevisionNotFound";

/** What a request's failure means for who asked for a model. Other errors are given back. */
function explain({ named, endpoint, options }: Hub, error: unknown, wanted: string): unknown {
  if (!(error instanceof RequestError)) return error;
  const { text, repository, revision } = named;
  const say = (got: string, expected: string) =>
    new FormatError(`${text}: got ${got}, expected ${expected}`, { cause: error });
  const login = options.bearer
    ? "use an HF_TOKEN that may read it"
    : "set HF_TOKEN to a token that may read it, or fetch its config.json yourself";
  const { status, code } = error;
  // What came and is not what it should be is told with its address.
  if (status !== undefined && status < 400) return error;
  if (code === "GatedRepo")
    return say(
      `a model behind terms at ${endpoint}`,
      `leave to read it; accept its terms at ${endpoint}/${repository} and ${login}`,
    );
  if (code === "RevisionNotFound") return say(`no revision ${revision} of this model`, "one that there is; check it");
  if (status === 401 || status === 403 || status === 404 || code === "RepoNotFound") {
    const near = nearestPreset(repository.slice(repository.indexOf("/") + 1));
    const known = `no such file, folder or preset here${near ? ` (the nearest preset is ${near})` : ""}, and `;
    if (status === 404 && code !== "RepoNotFound")
      return say(`${known}no such model, or no ${wanted} of it, at ${endpoint}`, "one; check the name");
    return say(
      `${known}no model of this name that may be read at ${endpoint}`,
      `one; check the name, and where it is private ${login}`,
    );
  }
  return say(
    `no such file, folder or preset here, and from ${endpoint} ${error.got}`,
    `its ${wanted}; ${status === undefined ? "check the network, or name a mirror in HF_ENDPOINT" : "try again later"}`,
  );
}
