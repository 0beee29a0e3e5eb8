/**
 * The few calls of the peers that are made here, so that the type check needs no peer to be installed. (An ambient
 * declaration comes before the package's own.)
 */
declare module "@jax-js/jax" {
  /** Every function takes ownership of its arrays; `ref` keeps one for another use. */
  export interface Array {
    readonly ref: Array;
    add(other: Array | number): Array;
    sub(other: Array | number): Array;
    mul(other: Array | number): Array;
    div(other: Array | number): Array;
    sum(): Array;
    reshape(shape: number[]): Array;
    data(): Promise<Float32Array>;
    dispose(): void;
  }
  type Tree = Array | readonly Tree[] | { readonly [key: string]: Tree };
  export function init(...devices: string[]): Promise<string[]>;
  export function defaultDevice(device: string): string;
  export function jit<A extends readonly unknown[]>(f: (...args: A) => Tree): (...args: A) => Tree;
  export function valueAndGrad<A extends readonly unknown[]>(
    f: (...args: A) => Array,
    options?: { argnums: number[] },
  ): (...args: A) => [Array, Tree];
  export function blockUntilReady<T extends Tree>(x: T): Promise<T>;
  export const nn: {
    silu(x: Array): Array;
    logSoftmax(x: Array, axis: number): Array;
    dotProductAttention(q: Array, k: Array, v: Array, options: { isCausal: boolean }): Array;
  };
  export const numpy: {
    array(values: Float32Array | Int32Array | number): Array;
    zeros(shape: number[]): Array;
    concatenate(xs: Array[], axis: number): Array;
    matmul(x: Array, y: Array): Array;
    mean(x: Array, axis: number, options: { keepdims: boolean }): Array;
    reciprocal(x: Array): Array;
    split(x: Array, parts: number, axis: number): Array[];
    sqrt(x: Array): Array;
    square(x: Array): Array;
    take(x: Array, indices: Array, axis: number): Array;
    transpose(x: Array): Array;
  };
}

declare module "@tensorflow/tfjs" {
  export interface Tensor {
    readonly rank: number;
    dataSync(): Float32Array;
    dispose(): void;
  }
  export interface Scalar extends Tensor {
    readonly rank: 0;
  }
  export interface Variable extends Tensor {
    readonly name: string;
  }
  type Operand = Tensor | number;
  export const version_core: string;
  export function setBackend(name: string): Promise<boolean>;
  export function ready(): Promise<void>;
  export function tensor(values: Float32Array | number[][], shape?: number[]): Tensor;
  export function tensor2d(values: Int32Array, shape: number[], dtype: "int32"): Tensor;
  export function variable(initial: Tensor, trainable: boolean, name: string): Variable;
  export function tidy<T>(body: () => T): T;
  export function customGrad(
    f: (...args: unknown[]) => { value: Tensor; gradFunc: unknown },
  ): (...xs: Tensor[]) => Tensor;
  export function add(x: Operand, y: Operand): Tensor;
  export function sub(x: Operand, y: Operand): Tensor;
  export function mul(x: Operand, y: Operand): Tensor;
  export function matMul(x: Tensor, y: Tensor): Tensor;
  export function cast(x: Tensor, dtype: "float32"): Tensor;
  export function concat(xs: Tensor[], axis: number): Tensor;
  export function cos(x: Tensor): Tensor;
  export function sin(x: Tensor): Tensor;
  export function logSoftmax(x: Tensor): Tensor;
  export function mean(x: Tensor, axis: number, keepDims: boolean): Tensor;
  export function oneHot(ids: Tensor, depth: number): Tensor;
  export function reshape(x: Tensor, shape: number[]): Tensor;
  export function rsqrt(x: Tensor): Tensor;
  export function sigmoid(x: Tensor): Tensor;
  export function slice(x: Tensor, begin: number[], size: number[]): Tensor;
  export function softmax(x: Tensor): Tensor;
  export function split(x: Tensor, parts: number, axis: number): Tensor[];
  export function square(x: Tensor): Tensor;
  export function sum(x: Tensor): Tensor;
  export function transpose(x: Tensor, order: number[]): Tensor;
  export const train: {
    adam(
      rate: number,
      beta1: number,
      beta2: number,
      epsilon: number,
    ): {
      minimize(loss: () => Scalar, returnCost: boolean): Scalar | null;
    };
  };
}

declare module "@huggingface/transformers" {
  export class Tensor {
    constructor(type: "int64", data: BigInt64Array, dims: number[]);
    readonly data: unknown;
    slice(...slices: (null | [number, number])[]): Tensor;
  }
  export class DynamicCache {
    constructor(entries: Record<string, Tensor>);
  }
  export const env: { allowRemoteModels: boolean; localModelPath: string };
  export const AutoModelForCausalLM: {
    from_pretrained(
      name: string,
      options: {
        dtype: string;
        device: "cpu" | "webgpu";
        session_options: { intraOpNumThreads?: number; interOpNumThreads?: number };
      },
    ): Promise<{ forward(inputs: Record<string, Tensor | DynamicCache | null>): Promise<Record<string, Tensor>> }>;
  };
}

declare module "protobufjs" {
  export function parse(
    schema: string,
    options: { keepCase: boolean },
  ): { root: { lookupType(name: string): { encode(message: object): { finish(): Uint8Array } } } };
}
