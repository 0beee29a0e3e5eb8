import type { WebgpuDevice } from "../../../device/webgpu.ts";
import type { Span } from "../../../tensor/device.ts";
import { FEW, type Operands } from "../../einsum/launch.wgsl.ts";
import { type Loops, lengthOf } from "../../einsum/loops.wgsl.ts";
import { type Heads, headsOf } from "./heads.wgsl.ts";

/**
 * Heads' rows that are about to be multiplied, each by its head's own matrix, as absorbed attention begins: the launch waits for what
 * comes next, which may be an indexer's scores, that need nothing of it and then are one launch with this.
 */
export class Absorbing {
  readonly heads: Heads;
  /** The rows. */
  readonly a: Span;

  private constructor(heads: Heads, a: Span) {
    [this.heads, this.a] = [heads, a];
  }

  /** Undefined where these loops are not of a few tokens' heads, each with a matrix of its own. */
  static of({ traits }: WebgpuDevice, loops: Loops, operands: Operands): Absorbing | undefined {
    const [head, along] = [loops.batch[0], loops.k[0]];
    const t = lengthOf(loops.m);
    if (!head || !along || t > FEW) return undefined;
    const heads = headsOf(traits, loops, operands, { h: head.size, width: along.size, rows: t * head.size });
    if (!heads) return undefined;
    const { block, start, size } = operands.a;
    return new Absorbing(heads, { block, start, size });
  }
}
