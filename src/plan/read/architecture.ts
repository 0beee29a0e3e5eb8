import { groupedRows } from "./architecture/grouped.ts";
import { hybridRows } from "./architecture/hybrid.ts";
import { latentRows } from "./architecture/latent.ts";
import { plainRows } from "./architecture/plain.ts";
import type { Architecture } from "./architecture/row.ts";

export type { Architecture } from "./architecture/row.ts";

/** By `model_type`. */
export const architectures: Readonly<Record<string, Architecture>> = {
  ...groupedRows,
  ...plainRows,
  ...latentRows,
  ...hybridRows,
};
