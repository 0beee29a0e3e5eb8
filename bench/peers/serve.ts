/** The protocol of every peer: a greeting on the first line, then one JSON answer for each JSON request on stdin. */
import { createInterface } from "node:readline";
import type { Answer, Greeting, Request } from "../peer.ts";

/** Greets, then answers requests one after another until stdin ends. */
export async function serve(greeting: Greeting, answer: (request: Request) => Promise<Answer>): Promise<void> {
  const write = (value: object) => process.stdout.write(`${JSON.stringify(value)}\n`);
  write(greeting);
  for await (const line of createInterface({ input: process.stdin })) write(await answer(JSON.parse(line) as Request));
}
