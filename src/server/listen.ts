import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { createAdaptorServer } from "@hono/node-server";
import { DeviceError } from "../tensor/error.ts";
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

/** Bounds of what a stranger can hold open: connections, bytes of headers, milliseconds for headers and for a whole request. */
const bounds = { connections: 1024, headers: 16_384, headersTimeout: 20_000, requestTimeout: 120_000 } as const;

/** Listens on a host and a port; 0 takes one that is free. Throws DeviceError where it cannot be had. */
export async function listen(app: App, host: string, port: number): Promise<Listening> {
  const server = createAdaptorServer({
    fetch: app.fetch,
    serverOptions: {
      maxHeaderSize: bounds.headers,
      headersTimeout: bounds.headersTimeout,
      requestTimeout: bounds.requestTimeout,
    },
  }) as Server;
  server.maxConnections = bounds.connections;
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
        server.close(() => resolve());
        server.closeIdleConnections();
      }),
    cut: () => server.closeAllConnections(),
  };
}
