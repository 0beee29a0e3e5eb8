import { type Call, type Reader, unfence } from "./call.ts";
import { scanLiteral } from "./literal.ts";
import { Broken, Scanner } from "./scan.ts";

const NAME = /[A-Za-z_][\w.-]*/;

/** Calls as Python writes them with arguments by keyword, one to a line or in a list, perhaps in a fence of three marks. */
export const readPython: Reader = (body) => {
  const scanner = new Scanner(unfence(body)).skip();
  const calls: Call[] = [];
  const one = () => void calls.push(scanCall(scanner));
  if (!scanner.ended && scanner.peek() === "[") scanner.list("[", "]", one);
  else for (; !scanner.ended; scanner.skip(";")) one();
  if (!calls.length || !scanner.skip().ended) throw new Broken("expected calls");
  return calls;
};

function scanCall(scanner: Scanner): Call {
  const name = scanner.take(NAME);
  const members: string[] = [];
  scanner.skip().list("(", ")", () => {
    const key = scanner.take(NAME);
    scanner.skip().expect("=");
    scanner.skip();
    members.push(`${JSON.stringify(key)}: ${scanLiteral(scanner)}`);
  });
  return { name, arguments: `{${members.join(", ")}}` };
}
