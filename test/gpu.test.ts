import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { openDevice } from "../src/device/open.ts";
import { DeviceError } from "../src/tensor/error.ts";

const bin = fileURLToPath(new URL("../bin/biform.js", import.meta.url));

test.skipIf(process.platform !== "linux")("a machine without an adapter is an error that says what to do", () => {
  // A loader that is told of a driver knows no other.
  const env = { ...process.env, VK_ICD_FILENAMES: "/nowhere.json", VK_DRIVER_FILES: "/nowhere.json" };
  const { status, stderr } = spawnSync(process.execPath, [bin, "verify", "MLA", "--device", "webgpu"], {
    env,
    encoding: "utf8",
  });
  expect(stderr).toMatch(/^biform: webgpu: got no adapter, expected .*use --device wasm$/m);
  expect(status).toBe(1);
});

test("threads are for wasm alone", async () => {
  await expect(openDevice("webgpu", 2)).rejects.toThrow(DeviceError);
  await expect(openDevice("reference", 2)).rejects.toThrow("threads: got 2 for reference");
});
