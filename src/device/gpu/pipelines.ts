import { type Constants, type Shader, sourceOf, WORDS } from "./shader.ts";

/** A compiled shader: what a launch of it needs. */
export interface Program {
  readonly number: number;
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

/** Shaders as they have been compiled, by name and constants. */
export class Pipelines {
  /** Layout of the numbers of a launch. */
  readonly numbers: GPUBindGroupLayout;
  readonly #device: GPUDevice;
  readonly #f16: boolean;
  readonly #programs = new Map<Shader, Map<string, Program>>();
  readonly #layouts = new Map<string, GPUBindGroupLayout>();
  #count = 0;

  constructor(device: GPUDevice, f16: boolean) {
    this.#device = device;
    this.#f16 = f16;
    this.numbers = device.createBindGroupLayout({
      entries: [
        { binding: 0, visibility: 4, buffer: { type: "uniform", hasDynamicOffset: true, minBindingSize: 4 * WORDS } },
      ],
    });
  }

  /** The compiled shader; compiles it where it is not yet. Errors of the compiler come as errors of the device. */
  programOf(shader: Shader, constants: Constants): Program {
    let known = this.#programs.get(shader);
    if (!known) {
      known = new Map();
      this.#programs.set(shader, known);
    }
    let key = "";
    for (const name in constants) key += `${name}=${constants[name]};`;
    let program = known.get(key);
    if (!program) {
      program = this.#compile(shader, constants, key);
      known.set(key, program);
    }
    return program;
  }

  #compile(shader: Shader, constants: Constants, key: string): Program {
    const [reads, writes] = [Object.keys(shader.reads).length, Object.keys(shader.writes).length];
    const layout = this.#layoutOf(reads, writes);
    const label = `${shader.name} ${key}`;
    const module = this.#device.createShaderModule({ label, code: sourceOf(shader, constants, this.#f16) });
    const pipeline = this.#device.createComputePipeline({
      label,
      layout: this.#device.createPipelineLayout({ bindGroupLayouts: [layout, this.numbers] }),
      compute: { module, entryPoint: "main" },
    });
    return { number: this.#count++, pipeline, layout };
  }

  #layoutOf(reads: number, writes: number): GPUBindGroupLayout {
    const key = `${reads} ${writes}`;
    let layout = this.#layouts.get(key);
    if (!layout) {
      layout = this.#device.createBindGroupLayout({
        entries: Array.from({ length: reads + writes }, (_, binding) => ({
          binding,
          visibility: 4,
          buffer: { type: binding < reads ? "read-only-storage" : "storage" },
        })),
      });
      this.#layouts.set(key, layout);
    }
    return layout;
  }
}
