import { DeviceError } from "../../tensor/error.ts";
import { type Constants, type Dialect, type Shader, sourceOf, WORDS } from "./shader.ts";

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
  /** Shaders that a launch had to wait for, so far. */
  waited = 0;
  readonly #device: GPUDevice;
  readonly #dialect: Dialect;
  readonly #fail: (error: DeviceError) => void;
  readonly #programs = new Map<Shader, Map<string, Program>>();
  /** Those that are being compiled, by what they will be in. */
  readonly #coming = new Map<Shader, Map<string, Promise<void>>>();
  readonly #layouts = new Map<string, GPUBindGroupLayout>();
  #count = 0;

  /** `fail` is told of a shader that does not compile while nobody waits for it. */
  constructor(device: GPUDevice, dialect: Dialect, fail: (error: DeviceError) => void) {
    this.#device = device;
    this.#dialect = dialect;
    this.#fail = fail;
    this.numbers = device.createBindGroupLayout({
      entries: [
        { binding: 0, visibility: 4, buffer: { type: "uniform", hasDynamicOffset: true, minBindingSize: 4 * WORDS } },
      ],
    });
  }

  /** The compiled shader; compiles it where it is not yet. `fail` hears of one that does not compile. */
  programOf(shader: Shader, constants: Constants): Program {
    const [known, key] = this.#known(this.#programs, shader, constants);
    const found = known.get(key);
    if (found) return found;
    this.waited++;
    const { layout, descriptor } = this.#describe(shader, constants, key);
    this.#device.pushErrorScope("validation");
    const pipeline = this.#device.createComputePipeline(descriptor);
    void this.#device.popErrorScope().then(
      (error) => error && this.#fail(refusal(shader, error.message)),
      // The device was lost, which is told elsewhere.
      () => {},
    );
    const program = { number: this.#count++, pipeline, layout };
    known.set(key, program);
    return program;
  }

  /** Compiles a shader while others go on; comes when it is done. Rejects with DeviceError for one that does not compile. */
  prepare(shader: Shader, constants: Constants): Promise<void> {
    const [known, key] = this.#known(this.#programs, shader, constants);
    if (known.has(key)) return Promise.resolve();
    const [coming] = this.#known(this.#coming, shader, constants);
    const open = coming.get(key);
    if (open) return open;
    const { layout, descriptor } = this.#describe(shader, constants, key);
    const made = this.#device.createComputePipelineAsync(descriptor).then(
      (pipeline) => {
        // A launch that did not wait may have been first.
        if (!known.has(key)) known.set(key, { number: this.#count++, pipeline, layout });
        coming.delete(key);
      },
      (error: Error) => {
        coming.delete(key);
        throw refusal(shader, error.message);
      },
    );
    coming.set(key, made);
    return made;
  }

  /** What is known of a shader by its constants, and the key of these. */
  #known<T>(all: Map<Shader, Map<string, T>>, shader: Shader, constants: Constants): [Map<string, T>, string] {
    let known = all.get(shader);
    if (!known) {
      known = new Map();
      all.set(shader, known);
    }
    let key = "";
    for (const name in constants) key += `${name}=${constants[name]};`;
    return [known, key];
  }

  #describe(shader: Shader, constants: Constants, key: string) {
    const [reads, writes] = [Object.keys(shader.reads).length, Object.keys(shader.writes).length];
    const layout = this.#layoutOf(reads, writes);
    const label = `${shader.name} ${key}`;
    const module = this.#device.createShaderModule({ label, code: sourceOf(shader, constants, this.#dialect) });
    const descriptor: GPUComputePipelineDescriptor = {
      label,
      layout: this.#device.createPipelineLayout({ bindGroupLayouts: [layout, this.numbers] }),
      compute: { module, entryPoint: "main" },
    };
    return { layout, descriptor };
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

function refusal({ name }: Shader, message: string): DeviceError {
  return new DeviceError(
    `webgpu: got a driver that does not compile the shader ${name} ("${message.split("\n")[0]}"), expected one that does; ` +
      "update the driver or the browser, or use --device wasm",
  );
}
