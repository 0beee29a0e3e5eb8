import type { AccumulateKernel } from "./accumulate/index.ts";
import type { CombineKernel, UpdateKernel } from "./add/index.ts";
import type { AttendBackwardKernel, AttendEachKernel, AttendKernel } from "./attend/index.ts";
import type { BiasGradientKernel, BiasKernel } from "./bias/index.ts";
import type { BlendKernel } from "./blend/index.ts";
import type { ConvBackwardKernel, ConvKernel } from "./conv/index.ts";
import type { ShortKernel } from "./conv/short.ts";
import type { DeltaBackwardKernel, DeltaKernel } from "./delta/index.ts";
import type { DivergenceBackwardKernel, DivergenceKernel } from "./divergence/index.ts";
import type { ContractKernel } from "./einsum/index.ts";
import type { GatherKernel, ScatterKernel } from "./embed/index.ts";
import type { FewExpertsKernel } from "./expert/few.ts";
import type { ContractEachKernel, GroupKernel } from "./expert/index.ts";
import type { FactoredKernel } from "./factored/index.ts";
import type { GateBackwardKernel, GateKernel } from "./gate/index.ts";
import type { LeadersKernel } from "./leaders/index.ts";
import type { LossBackwardKernel, LossKernel } from "./loss/index.ts";
import type { MapBackwardKernel, MapKernel } from "./map/index.ts";
import type { MergeKernel } from "./merge/index.ts";
import type { MultiplyBackwardKernel, MultiplyKernel } from "./multiply/index.ts";
import type { GatedNormKernel, NormBackwardKernel, NormKernel } from "./norm/index.ts";
import type { AdamwKernel, SquaresKernel } from "./optimise/index.ts";
import type { PackKernel } from "./pack/index.ts";
import type { LoadKernel, StoreKernel } from "./pages/index.ts";
import type { NextKernel, PreviousKernel } from "./previous/index.ts";
import type { ProductsKernel } from "./products/index.ts";
import type { ReadyKernel } from "./ready/index.ts";
import type { RopeKernel } from "./rope/index.ts";
import type { RouteKernel } from "./route/index.ts";
import type { SelectKernel } from "./select/index.ts";

/** All kernels by name: what a device may bring. Each op's `index.ts` says what its own do. */
export interface Kernels {
  readonly accumulate: AccumulateKernel;
  readonly adamw: AdamwKernel;
  readonly attend: AttendKernel;
  readonly attendBackward: AttendBackwardKernel;
  readonly attendEach: AttendEachKernel;
  readonly bias: BiasKernel;
  readonly biasGradient: BiasGradientKernel;
  readonly combine: CombineKernel;
  readonly contract: ContractKernel;
  readonly contractEach: ContractEachKernel;
  readonly conv: ConvKernel;
  readonly convBackward: ConvBackwardKernel;
  readonly delta: DeltaKernel;
  readonly deltaBackward: DeltaBackwardKernel;
  readonly factored: FactoredKernel;
  readonly gate: GateKernel;
  readonly gateBackward: GateBackwardKernel;
  readonly gather: GatherKernel;
  readonly group: GroupKernel;
  readonly leaders: LeadersKernel;
  readonly loadPages: LoadKernel;
  readonly divergence: DivergenceKernel;
  readonly divergenceBackward: DivergenceBackwardKernel;
  readonly loss: LossKernel;
  readonly lossBackward: LossBackwardKernel;
  readonly map: MapKernel;
  readonly mapBackward: MapBackwardKernel;
  readonly merge: MergeKernel;
  readonly multiply: MultiplyKernel;
  readonly multiplyBackward: MultiplyBackwardKernel;
  readonly next: NextKernel;
  readonly norm: NormKernel;
  readonly normBackward: NormBackwardKernel;
  readonly pack: PackKernel;
  readonly previous: PreviousKernel;
  readonly products: ProductsKernel;
  readonly ready: ReadyKernel;
  readonly rope: RopeKernel;
  readonly route: RouteKernel;
  readonly scatter: ScatterKernel;
  readonly select: SelectKernel;
  readonly squares: SquaresKernel;
  readonly storePages: StoreKernel;
  readonly update: UpdateKernel;
}

/** Kernels that are several ops in one: a device may bring them (see `fused` in op.ts). */
export interface Fused {
  readonly blend: BlendKernel;
  /** Of factors, and of an indexer's keys, that lie on pages. */
  readonly factoredPaged: FactoredKernel;
  readonly selectPaged: SelectKernel;
  /** Of rows that lie on pages. */
  readonly ropePaged: RopeKernel;
  readonly fewExperts: FewExpertsKernel;
  readonly gatedNorm: GatedNormKernel;
  /** Of vectors that a layer's norm is among. */
  readonly readyCentred: ReadyKernel;
  readonly short: ShortKernel;
}
