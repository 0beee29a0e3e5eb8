/** What went wrong, in words, and what to do about it. */

/** A problem as it is shown beside an answer and kept with it. */
export interface Problem {
  readonly title: string;
  /** What the server said of it. */
  readonly detail?: string | undefined;
  /** What to do. */
  readonly advice: string;
  /** What a button beside it does: ask again, take a key, open the settings, begin a new chat. */
  readonly act?: "again" | "key" | "settings" | "new";
}

/** An answer of the server that is an error, as the API words it. */
export class Refusal extends Error {
  readonly status: number;
  readonly code: string;
  /** Seconds after which to ask again, where it said so. */
  readonly after: number | undefined;

  constructor(status: number, message: string, code: string, after?: number) {
    super(message);
    this.status = status;
    this.code = code;
    this.after = after;
  }
}

/** The stream ended before the answer did. */
export class Break extends Error {}

/** Statuses of errors that come when an answer has begun, by their type. */
const statuses: Readonly<Record<string, number>> = {
  invalid_request_error: 400,
  authentication_error: 401,
  rate_limit_error: 429,
};

/**
 * A refusal from the body of an error: OpenAI's envelope, or whatever text there is. Where the answer had begun there is no
 * status but 200, and the error's type stands for it.
 */
export function readRefusal(answered: number, text: string, after: string | null): Refusal {
  let status = answered;
  let message = text.trim();
  let code = "";
  try {
    const { error } = JSON.parse(text) as { error?: unknown };
    if (typeof error === "string") message = error;
    else if (typeof error === "object" && error !== null) {
      const told = error as Record<string, unknown>;
      if (typeof told.message === "string") message = told.message;
      const type = typeof told.type === "string" ? told.type : "";
      code = typeof told.code === "string" ? told.code : type;
      if (answered === 200) status = statuses[type] ?? 500;
    }
  } catch {
    // No JSON: a proxy's page perhaps, whose beginning says enough.
  }
  const seconds = after !== null && /^\d+$/.test(after.trim()) ? Number(after) : undefined;
  return new Refusal(status, message.slice(0, 2000), code, seconds);
}

const isContext = ({ code, message }: Refusal) =>
  code === "context_length_exceeded" || /context (length|window)|too many tokens/i.test(message);

/** What to do about a refusal; its own words are shown beside that. */
function advise(refusal: Refusal): Omit<Problem, "detail"> {
  const { status, after } = refusal;
  if (status === 401)
    return { title: "This server wants an API key", advice: "Enter the key it was started with.", act: "key" };
  if (isContext(refusal))
    return {
      title: "This does not fit the model's context",
      advice: "Edit an earlier message to be shorter, lower the most tokens of an answer, or begin a new chat.",
      act: "new",
    };
  if (status === 429)
    return {
      title: "The server has too much to do",
      advice: after === undefined ? "Try again in a moment." : `Try again in ${after} s.`,
      act: "again",
    };
  if (status === 404)
    return {
      title: "The server does not know this model",
      advice: "Choose another model above, then try again.",
      act: "again",
    };
  if (status === 413)
    return {
      title: "This is too long for the server",
      advice: "Edit the message to be shorter, or begin a new chat.",
      act: "new",
    };
  if (status === 503)
    return {
      title: "The server takes nothing new",
      advice: "It is starting or stopping: try again in a moment.",
      act: "again",
    };
  if (status >= 500)
    return { title: "The server failed", advice: "Try again; its own output says more.", act: "again" };
  return {
    title: "The server refused this",
    advice: "Change what it names, in the settings or in the message.",
    act: "settings",
  };
}

/** A problem in words, from whatever was thrown while asking. */
export function tellProblem(error: unknown): Problem {
  if (error instanceof Refusal) return { ...advise(error), detail: error.message || undefined };
  if (error instanceof Break)
    return { title: "The answer broke off", advice: "The connection ended early: try again.", act: "again" };
  // What fetch throws where nobody answers.
  if (error instanceof TypeError)
    return {
      title: "The server does not answer",
      advice: "See that biform serve still runs, then try again.",
      act: "again",
    };
  const detail = error instanceof Error ? error.message : String(error);
  return { title: "Something went wrong in this page", detail, advice: "Try again.", act: "again" };
}
