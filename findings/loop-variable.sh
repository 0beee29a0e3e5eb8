#!/bin/sh
# npm webgpu 0.6.2 (Dawn) sets a WGSL variable without an initializer to zero only the first time round a loop.
#
# Seen on 2026-11-29, on SwiftShader 5.0.0 and on lavapipe (Mesa 26.1.6), two compilers of their own, with the same output. WGSL says that a
# variable declared without an initializer gets the zero value of its type every time its declaration is executed
# (W3C, WebGPU Shading Language, "var" declarations). This kernel adds 1 to a fresh variable, four times:
#
#   for (var i = 0u; i < n[0]; i++) { DECLARATION  for (var j = 0u; j < n[1]; j++) { own[j] += 1.0; }  out[i] = own[0]; }
#
#   declaration                    out
#   var own: array<f32, 2>;        1 2 3 4    keeps what the time before left
#   var own = array<f32, 2>();     1 1 1 1
#
# There is no warning and no validation error, and the first time round is right: a test of one step passes.
#
# The other compiler of WGSL, naga, had the same error and mended it (gfx-rs/wgpu, issue 9489, May 2026).
#
# Why it matters: an accumulator declared in a loop, as one writes it in every language with scopes, sums over all steps. Write the
# initializer out.
#
# Needs node >= 20, npm, a network, and a Vulkan driver: the system's, or name one by VK_ICD_FILENAMES (and LD_LIBRARY_PATH),
# such as the vk_swiftshader_icd.json of Debian's package chromium. Takes about 10 seconds. Exits with 1 where the table no longer
# holds, with 2 where there is no adapter.
set -eu

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM
cd "$dir"

cat >package.json <<'JSON'
{ "private": true, "type": "module", "dependencies": { "webgpu": "0.6.2" } }
JSON
npm install --silent --no-audit --no-fund

cat >loop.js <<'JS'
import { readFileSync } from "node:fs";
import { create, globals } from "webgpu";
Object.assign(globalThis, globals);
const gpu = create([]);
const adapter = await gpu.requestAdapter();
if (!adapter) {
  console.error("no adapter");
  process.exit(2);
}
const { version } = JSON.parse(readFileSync("node_modules/webgpu/package.json", "utf8"));
console.error(`webgpu ${version} on ${adapter.info.description || adapter.info.device}`);
const device = await adapter.requestDevice();

async function run(declaration) {
  const code = `
@group(0) @binding(0) var<storage, read_write> out: array<f32>;
@group(0) @binding(1) var<storage, read> n: array<u32>;
@compute @workgroup_size(1) fn main() {
  for (var i = 0u; i < n[0]; i++) {
    ${declaration}
    for (var j = 0u; j < n[1]; j++) { own[j] += 1.0; }
    out[i] = own[0];
  }
}`;
  const module = device.createShaderModule({ code });
  const { messages } = await module.getCompilationInfo();
  for (const { message } of messages) console.error(message);
  const pipeline = device.createComputePipeline({ layout: "auto", compute: { module, entryPoint: "main" } });
  const [out, n, copy] = [0x84, 0x88, 0x09].map((usage) => device.createBuffer({ size: 16, usage }));
  device.queue.writeBuffer(n, 0, Uint32Array.of(4, 2));
  const entries = [out, n].map((buffer, binding) => ({ binding, resource: { buffer } }));
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
  pass.dispatchWorkgroups(1);
  pass.end();
  encoder.copyBufferToBuffer(out, 0, copy, 0, 16);
  device.queue.submit([encoder.finish()]);
  await copy.mapAsync(1);
  return new Float32Array(copy.getMappedRange()).join(" ");
}

for (const declaration of ["var own: array<f32, 2>;", "var own = array<f32, 2>();"])
  console.log(`${declaration.padEnd(28)} ${await run(declaration)}`);
process.exit(0);
JS

cat >expected <<'TEXT'
var own: array<f32, 2>;      1 2 3 4
var own = array<f32, 2>();   1 1 1 1
TEXT
XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-$dir} node loop.js >found
cat found
diff expected found >/dev/null || { echo "changed"; exit 1; }
