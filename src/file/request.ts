import { FormatError } from "../tensor/error.ts";

/** How long to wait, in milliseconds: for an answer's head, for each next piece of it, and for all of it. */
export interface Patience {
  readonly connect?: number;
  readonly idle?: number;
  readonly whole?: number;
  readonly signal?: AbortSignal | undefined;
}

/** How a file is asked for: how patiently, as whom, and who watches. */
export interface RequestOptions extends Patience {
  /** A token for one server, sent to this origin alone, and only where nobody on the way can read it. */
  readonly bearer?: { readonly origin: string; readonly token: string } | undefined;
  /** Bytes that a request by range asks for at least. */
  readonly block?: number | undefined;
  /** Called with the bytes of each piece that arrives. */
  readonly watch?: ((bytes: number) => void) | undefined;
}

/** A request that came to nothing, with what was got for those who can say more than an address. */
export class RequestError extends FormatError {
  readonly got: string;
  /** Of an answer: its status, and the word that hubs of models put beside it ("GatedRepo"). */
  readonly status: number | undefined;
  readonly code: string | undefined;

  constructor(
    url: string,
    got: string,
    expected: string,
    { response, cause }: { response?: Response; cause?: unknown } = {},
  ) {
    super(`${url}: got ${got}, expected ${expected}`, { cause });
    this.got = got;
    this.status = response?.status;
    this.code = response?.headers.get("x-error-code")?.slice(0, 80) ?? undefined;
  }
}

/** The head of a server's answer; its body has not been read. */
export interface Answer {
  /** What errors call it: the address that the user gave. */
  readonly name: string;
  /** Where it was found in the end. */
  readonly address: string;
  readonly response: Response;
  readonly patience: Required<Omit<Patience, "signal">> & Pick<RequestOptions, "signal" | "watch">;
  /** Hangs up, and gives the error to throw. */
  refuse(got: string, expected: string): RequestError;
  /** Hangs up. */
  abort(): void;
}

const REDIRECTS = 5;
const redirects = new Set([301, 302, 303, 307, 308]);

/**
 * The address of the file itself, where a user may have copied that of the page that shows it: `/OWNER/NAME/blob/REVISION/FILE`
 * is a page on the hubs of models and of code, and `resolve` (of code: `raw`) in the same place the file.
 */
export function fileAddress(url: string): string {
  return url.replace(
    /^(https?:\/\/[^/]+)(\/[^/]+\/[^/]+)\/blob\/([^/]+\/[^?#]+)/i,
    (_, host, repository, rest) => `${host}${repository}/${/github/i.test(host) ? "raw" : "resolve"}/${rest}`,
  );
}

/**
 * Asks for a file, or bytes `first` to `last` of it, following at most five redirects and none from https to http.
 *
 * Errors: RequestError naming the address for anything but an answer with a file in it.
 */
export async function ask(
  url: string,
  { connect = 15_000, idle = 15_000, whole = 180_000, signal, bearer, watch }: RequestOptions = {},
  range?: readonly [first: number, last: number],
): Promise<Answer> {
  const patience = { connect, idle, whole, signal, watch };
  let address = addressOf(fileAddress(url), url);
  for (let hops = 0; ; hops++) {
    const controller = new AbortController();
    const abort = () => controller.abort();
    const token = bearer && mayHear(address, bearer.origin) ? bearer.token : undefined;
    const response = await head(url, address, { controller, connect, signal, range, token });
    const refuse = (got: string, expected: string) => {
      abort();
      return new RequestError(url, got, expected, { response });
    };
    if (!redirects.has(response.status)) {
      checkStatus(response, refuse);
      return { name: url, address: address.href, response, patience, refuse, abort };
    }
    abort();
    const next = response.headers.get("location");
    if (next === null) throw refuse("a redirect to nowhere", "an address; check the link");
    if (hops === REDIRECTS) throw refuse(`more than ${REDIRECTS} redirects`, "a file; use the address they lead to");
    const target = URL.canParse(next, address) ? new URL(next, address) : undefined;
    if (!target) throw refuse("a redirect to what is no address", "an address; check the link");
    if (address.protocol === "https:" && target.protocol === "http:")
      throw refuse("a redirect from https to http", "https all the way; use the address of the file itself");
    address = addressOf(target.href, url);
  }
}

function addressOf(text: string, url: string): URL {
  const address = URL.canParse(text) ? new URL(text) : undefined;
  if (address?.protocol !== "http:" && address?.protocol !== "https:")
    throw new FormatError(
      `${url}: got ${address ? address.protocol : "no address"}, expected http or https; check the link`,
    );
  if (address.username || address.password)
    throw new FormatError(
      `${address.host}: got a name and password in the address, expected none; fetch the file yourself`,
    );
  return address;
}

const loopback = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

/** Whether an address is of this origin, and reached by a way on which no third can listen. */
function mayHear(address: URL, origin: string): boolean {
  return address.origin === origin && (address.protocol === "https:" || loopback.test(address.hostname));
}

interface Asking {
  readonly controller: AbortController;
  readonly connect: number;
  readonly signal: AbortSignal | undefined;
  readonly range: readonly [number, number] | undefined;
  readonly token: string | undefined;
}

async function head(url: string, address: URL, asking: Asking): Promise<Response> {
  const { controller, connect, signal, range, token } = asking;
  const timer = setTimeout(() => controller.abort(), connect);
  const stop = () => controller.abort();
  signal?.addEventListener("abort", stop);
  try {
    signal?.throwIfAborted();
    return await fetch(address, {
      redirect: "manual",
      signal: controller.signal,
      headers: {
        // Ranges are of the file, not of what it is compressed to.
        "accept-encoding": "identity",
        ...(range && { range: `bytes=${range[0]}-${range[1]}` }),
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
      },
    });
  } catch (error) {
    signal?.throwIfAborted();
    if (controller.signal.aborted)
      throw new RequestError(url, `no answer in ${connect} ms`, "one; try again", { cause: error });
    throw new RequestError(url, causeOf(error), "an answer; check the address and the network", { cause: error });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
  }
}

const causes: Readonly<Record<string, string>> = {
  ECONNREFUSED: "a connection refused",
  ECONNRESET: "a connection that was closed",
  ENOTFOUND: "no such host",
  EAI_AGAIN: "no such host, or no network",
  ENETUNREACH: "no network",
  EHOSTUNREACH: "no way to the host",
  ETIMEDOUT: "no answer",
  UND_ERR_SOCKET: "a connection that was closed",
  UND_ERR_CONNECT_TIMEOUT: "no answer",
};

/** What is behind "fetch failed", in a few words. */
function causeOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : "";
  if (causes[code]) return causes[code];
  if (/CERT|TLS|SSL/.test(code)) return `a certificate that is not to be trusted (${code})`;
  return code || (cause instanceof Error ? cause.message.slice(0, 80) : "a failure");
}

function checkStatus(response: Response, refuse: Answer["refuse"]): void {
  const { status } = response;
  if (status === 401 || status === 403)
    throw refuse(`status ${status} (not allowed)`, "a public file; where it needs a login, fetch it yourself");
  if (status === 404 || status === 410) throw refuse(`status ${status} (no such file)`, "a file; check the link");
  if (status === 416) throw refuse("an empty file", "one with something in it; check the link");
  if (status >= 400) throw refuse(`status ${status}`, "a file; try again later");
  if (/^text\/html\b/i.test(response.headers.get("content-type") ?? ""))
    throw refuse("a web page", "a file; use the link that downloads it");
}

/** The body of an answer piece by piece, each awaited no longer than patience allows. */
export function bodyOf(answer: Answer) {
  const { name, response, patience, abort } = answer;
  const reader = response.body?.getReader();
  const end = performance.now() + patience.whole;
  return {
    close: () => void abort(),
    /** The next piece, or undefined at the end. Throws FormatError where it does not come in time. */
    async next(): Promise<Uint8Array | undefined> {
      if (!reader) return undefined;
      const wait = Math.min(patience.idle, end - performance.now());
      let timer: ReturnType<typeof setTimeout> | undefined;
      const late = new Promise<"late">((resolve) => {
        timer = setTimeout(() => resolve("late"), Math.max(0, wait));
      });
      const stop = () => abort();
      patience.signal?.addEventListener("abort", stop);
      try {
        patience.signal?.throwIfAborted();
        const piece = await Promise.race([reader.read(), late]);
        if (piece === "late") {
          abort();
          throw new FormatError(
            `${name}: got nothing for ${Math.round(wait)} ms, expected more of the file; try again`,
          );
        }
        if (piece.done) return undefined;
        patience.watch?.(piece.value.length);
        return piece.value;
      } catch (error) {
        patience.signal?.throwIfAborted();
        if (error instanceof FormatError) throw error;
        throw new FormatError(`${name}: got ${causeOf(error)}, expected the rest of the file; try again`, {
          cause: error,
        });
      } finally {
        clearTimeout(timer);
        patience.signal?.removeEventListener("abort", stop);
      }
    },
  };
}
