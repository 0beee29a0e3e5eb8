// A bucket behind a server that others wrote (moto's, from PyPI): claims, listings, and an experiment that is left and gone on with.
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { AwsClient } from "aws4fetch";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bucketStore } from "../../src/cluster/bucket.ts";
import { freePorts } from "./slurm.ts";
import { begin, layOut, lossesOf } from "./study.ts";

const program = process.env.BIFORM_S3 ?? join(import.meta.dirname, ".venv", "bin", "moto_server");
const lacks = existsSync(program) ? undefined : "no moto_server (npm run test:clusters installs it)";
if (lacks) console.log(`s3.test.ts is skipped: ${lacks}`);

const dir = mkdtempSync(join(tmpdir(), "biform-s3-"));
const minutes = (n: number) => 60_000 * n;
const keys = { AWS_ACCESS_KEY_ID: "who", AWS_SECRET_ACCESS_KEY: "secret" };
let server: ChildProcess | undefined;
let env: Record<string, string>;

beforeAll(async () => {
  if (lacks) return;
  const [port] = await freePorts(1);
  const endpoint = `http://127.0.0.1:${port}`;
  server = spawn(program, ["-H", "127.0.0.1", "-p", `${port}`], { stdio: "ignore" });
  env = { ...keys, AWS_ENDPOINT_URL: endpoint };
  const client = new AwsClient({ accessKeyId: "who", secretAccessKey: "secret", region: "us-east-1", service: "s3" });
  const made = () =>
    client.fetch(`${endpoint}/runs`, { method: "PUT" }).then(
      ({ ok }) => ok,
      () => false,
    );
  for (let tries = 0; !(await made()); tries++) {
    if (tries > 240) throw new Error("moto_server: got no bucket within four minutes");
    await wait(1000);
  }
}, minutes(10));

afterAll(() => {
  server?.kill("SIGKILL");
  rmSync(dir, { recursive: true, force: true });
});

test.skipIf(lacks)("of many that claim a run at a time one does, and names are listed page by page", async () => {
  const store = bucketStore("s3://runs/some where", env);
  const made = await Promise.all(Array.from({ length: 8 }, (_, i) => store.create("a/claim-1.json", `${i}`)));
  expect(made.filter(Boolean)).toHaveLength(1);
  const owner = new TextDecoder().decode(await store.read("a/claim-1.json"));
  expect(owner).toBe(`${made.indexOf(true)}`);
  await store.write("a/claim-1.json", "over");
  expect(new TextDecoder().decode(await store.read("a/claim-1.json"))).toBe("over");
  // A page has a thousand names at the most.
  const names = Array.from({ length: 1004 }, (_, i) => `many/b ${i}+&.json`);
  for (let from = 0; from < names.length; from += 32)
    await Promise.all(names.slice(from, from + 32).map((name) => store.write(name, "")));
  expect((await store.list("many/")).toSorted()).toEqual(names.toSorted());
  await expect(bucketStore("s3://none", env).write("x", "")).rejects.toThrow(
    /got 404 NoSuchBucket, expected it to PUT/,
  );
});

test.skipIf(lacks)(
  "an experiment that is left is gone on with from the bucket alone, to the losses of one machine, bit for bit",
  { timeout: minutes(60) },
  async () => {
    const { file, losses } = layOut(dir);
    const [where, result] = ["s3://runs/study", join(dir, "result.json")];
    const words = ["--run", file, "--out", where, "--threads", "1", "--on", "processes:2", "--json", result];
    const store = bucketStore(where, env);
    const first = begin(words, { ...process.env, ...env });
    // A list stands there once all files of a checkpoint do.
    while (!(await store.list("")).some((name) => name.endsWith("/checkpoint.json"))) {
      if (first.child.exitCode !== null) throw new Error(`compare ended: ${first.said()}`);
      await wait(500);
    }
    first.child.kill("SIGINT");
    expect(await first.end).toBe(130);
    expect((await store.list("")).filter((name) => name.endsWith("/record.json")).length).toBeLessThan(6);
    const second = begin(words, { ...process.env, ...env });
    expect(await second.end, second.said()).toBe(0);
    expect(lossesOf(result)).toEqual(losses);
    expect((await store.list("")).filter((name) => name.includes("checkpoint"))).toEqual([]);
  },
);
