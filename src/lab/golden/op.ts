import type { Device } from "../../tensor/tensor.ts";
import { type Manifest, Unsupported } from "./case.ts";
import type { Ledger } from "./ledger.ts";
export async function runOpCase(
  _path: string,
  _said: Manifest,
  _devices: readonly Device[],
  _ledger: Ledger,
): Promise<string[]> {
  throw new Unsupported("kind op is not supported");
}
