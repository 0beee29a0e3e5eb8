import { type Server, STATUS_CODES } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { createAdaptorServer } from "@hono/node-server";
import { DeviceError } from "../tensor/error.ts";
import { Problem } from "./errors.ts";
import type { App } from "./server.ts";

/** Where a server is reached. */
export interface Listening {
  readonly url: string;
  readonly port: number;
  /** Takes no more connections, and ends when those that work have ended. */
  stop(): Promise<void>;
  /** Ends all connections at once. */
  cut(): void;
}

/**
 * Bounds of what a stranger can hold open: connections, bytes of headers, milliseconds for headers and for a whole request, which on a
 * machine with other work are those of this process too.
 */
const bounds = { connections: 1024, headers: 16_384, headersTimeout: 60_000, requestTimeout: 300_000 } as const;

/**
 * Milliseconds that a connection is kept for a next request. Clients keep theirs as long as they are told but for a second or two;
 * with the five seconds of Node's own a busy machine closes some just as the next request is on its way, which is then reset.
 */
const KEEP_ALIVE = 30_000;

/** Listens on a host and a port; 0 takes one that is free. Throws DeviceError where it cannot be had. */
export async function listen(app: App, host: string, port: number): Promise<Listening> {
  const server = createAdaptorServer({
    fetch: (request, env) =>
      env.incoming.headers.host ? app.fetch(request, env) : Response.json(nameless.body, nameless),
    // For the addresses of requests without a Host, which Node and hono would answer with no envelope.
    hostname: "localhost",
    serverOptions: {
      requireHostHeader: false,
      maxHeaderSize: bounds.headers,
      headersTimeout: bounds.headersTimeout,
      requestTimeout: bounds.requestTimeout,
      keepAliveTimeout: KEEP_ALIVE,
    },
  }) as Server;
  server.maxConnections = bounds.connections;
  server.on("clientError", refuseBytes);
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) =>
      reject(
        new DeviceError(
          `serve: got ${error.code ?? error.message} for ${host}:${port}, expected a free address; choose another --port or --host`,
          { cause: error },
        ),
      ),
    );
    server.listen(port, host, resolve);
  });
  const { address, port: found, family } = server.address() as AddressInfo;
  return {
    url: `http://${family === "IPv6" ? `[${address}]` : address}:${found}`,
    port: found,
    stop: () =>
      new Promise((resolve) => {
        // Those that work now are not kept for another request.
        server.keepAliveTimeout = 1;
        server.close(() => resolve());
        server.closeIdleConnections();
      }),
    cut: () => server.closeAllConnections(),
  };
}

/** What is no request of HTTP, by Node's code for it; anything else is 400. */
const refusals: Readonly<Record<string, Problem>> = {
  HPE_HEADER_OVERFLOW: new Problem(431, `headers: got more than ${bounds.headers} bytes, expected fewer`),
  ERR_HTTP_REQUEST_TIMEOUT: new Problem(
    408,
    `request: got none whole in ${bounds.requestTimeout / 1000} s (its headers in ${bounds.headersTimeout / 1000} s), expected it sooner`,
  ),
};

const nameless = new Problem(400, "Host: got none, expected one, which HTTP/1.1 asks for; add the header");

/** Answers bytes that never became a request as every refusal is answered, and ends the connection. */
function refuseBytes(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === "ECONNRESET" || !socket.writable) return void socket.destroy();
  const { status, body } =
    refusals[error.code ?? ""] ?? new Problem(400, "request: got bytes that are no HTTP/1.1, expected a request");
  const text = JSON.stringify(body);
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    "Connection: close",
    "Content-Type: application/json",
    `Content-Length: ${Buffer.byteLength(text)}`,
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${text}`);
}
