import type { ContentfulStatusCode } from "hono/utils/http-status";
import { Refused } from "../batch/request.ts";
import { DeviceError, FormatError, ShapeError } from "../tensor/error.ts";

/** What a client did that cannot be done, as OpenAI's clients read it. */
export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string | null;
  };
}

/** Seconds after which what was refused for now may be asked again: nobody knows how long answers will be. */
const AGAIN = 1;

/** What else an error says beside its message. */
export interface ProblemOptions extends ErrorOptions {
  /** The parameter at fault. */
  readonly param?: string | undefined;
  /** A word that programs tell it by. */
  readonly code?: string | undefined;
  /** Seconds after which it may be asked again. */
  readonly after?: number | undefined;
}

/** An error with its HTTP status; its message is for the client. */
export class Problem extends Error {
  override name = "Problem";
  readonly status: ContentfulStatusCode;
  readonly param: string | undefined;
  readonly code: string | undefined;
  readonly after: number | undefined;

  constructor(status: ContentfulStatusCode, message: string, { param, code, after, ...rest }: ProblemOptions = {}) {
    super(message, rest);
    this.status = status;
    this.param = param;
    this.code = code;
    this.after = after;
  }

  /** The envelope of OpenAI's API. */
  get body(): ErrorBody {
    const { message, status, param = null, code = null } = this;
    return { error: { message, type: typeOf(status), param, code } };
  }

  get headers(): Record<string, string> {
    return this.after === undefined ? {} : { "Retry-After": String(Math.max(1, Math.ceil(this.after))) };
  }
}

/** A parameter that is not taken with what is asked or with this model; `message` says so without its name. */
export function refuseParameter(param: string, message: string): Problem {
  return new Problem(400, `${param}: ${message}`, { param, code: "unsupported_parameter" });
}

function typeOf(status: number): string {
  if (status === 401 || status === 403) return "authentication_error";
  if (status === 429) return "rate_limit_error";
  return status >= 500 ? "server_error" : "invalid_request_error";
}

/**
 * Any error as one that a client may see. What is no fault of a request's is told by `tell`, with its stack, and the client learns
 * only that it happened.
 */
export function problemOf(error: unknown, tell: (error: unknown) => void): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof Refused) return refusal(error);
  // The client went away before it had said all; nobody reads this, and no log has to.
  if ((error as NodeJS.ErrnoException | undefined)?.code === "ECONNRESET")
    return new Problem(400, "request: got its end before that of its body, expected all of it", { cause: error });
  const own = error instanceof ShapeError || error instanceof FormatError;
  if (own && !error.message.startsWith("internal:")) return new Problem(400, error.message, { cause: error });
  // Memory that others hold now may be free later, and a device that has failed is opened anew.
  if (error instanceof DeviceError) return new Problem(503, error.message, { code: "device_error", cause: error });
  tell(error);
  return new Problem(500, "server: got an error of its own, expected none; its log says more", { cause: error });
}

function refusal({ reason, message }: Refused): Problem {
  if (reason === "size") return new Problem(400, message, { code: "context_length_exceeded" });
  if (reason === "queue") return new Problem(429, message, { code: "queue_full", after: AGAIN });
  if (reason === "time") return new Problem(504, message, { code: "timeout" });
  return new Problem(503, message, { code: "shutting_down", after: AGAIN });
}
