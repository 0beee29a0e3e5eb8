import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { MiddlewareHandler } from "hono";
import { Problem } from "./errors.ts";

/** What is known of a request once it is let in. */
export interface Env {
  /** Of Node's server; there is none where the app is asked directly. */
  Bindings: { readonly incoming?: IncomingMessage };
  Variables: {
    /** Who may share cached prefixes with it. */
    realm: string;
  };
}

const digest = (text: string) => createHash("sha256").update(text).digest();

/**
 * Lets in who brings one of the keys as a bearer token, and everybody where there are none. All keys are compared in a time that
 * tells nothing of them. With `isolate`, each key is a realm of its own.
 */
export function keyGuard(keys: readonly string[], isolate: boolean): MiddlewareHandler<Env> {
  const known = keys.map(digest);
  return async (c, next) => {
    const given = /^Bearer +(\S+) *$/i.exec(c.req.header("authorization") ?? "")?.[1];
    if (known.length) {
      const own = digest(given ?? "");
      const matches = known.map((key) => timingSafeEqual(key, own));
      if (given === undefined || !matches.includes(true))
        throw new Problem(
          401,
          `Authorization: got ${given === undefined ? "no key" : "a key that is not known"}, expected "Bearer KEY" with one that the server was started with`,
          { code: "invalid_api_key" },
        );
      c.set("realm", isolate ? own.toString("hex") : "");
    } else c.set("realm", "");
    await next();
  };
}

/** Hosts of an address that only this machine reaches. */
export const localHosts: readonly string[] = ["localhost", "127.0.0.1", "[::1]"];

/**
 * Turns requests away whose Host is another than those listed: a page whose name was made to lead to this machine (DNS rebinding)
 * has its own there, and would otherwise be of the same origin as the server. Undefined lets all in.
 */
export function hostGuard(hosts: readonly string[] | undefined): MiddlewareHandler {
  return async (c, next) => {
    const host = (c.req.header("host") ?? "").toLowerCase().replace(/:\d+$/, "");
    if (hosts && !hosts.includes(host))
      throw new Problem(
        403,
        `Host: got "${host.slice(0, 80)}", expected ${hosts.join(", ")}; start the server with --host to be reached by other names`,
        { code: "host_not_allowed" },
      );
    await next();
  };
}

/** What a body of more than `limit` bytes is told, before anything reads it, or as soon as it is longer where it does not say its length. */
export const tooLarge = (limit: number) =>
  new Problem(413, `body: got more than ${limit} bytes, expected at most as many`, { code: "body_too_large" });
