/** The flags that make an engine load weights as a plan counts them. */
import type { Blueprint } from "../../cost/blueprint.ts";
import type { WeightType } from "../../cost/type.ts";
import { FormatError } from "../../tensor/error.ts";
import { type EngineName, enginesBy, type Flag } from "./flag.ts";

/** Throws FormatError for a type that an engine does not make of what is shipped. */
export function weightFlags(engine: EngineName, { weightBytes, shipped, name }: Blueprint, type: WeightType): Flag[] {
  const { title, version } = enginesBy[engine];
  if (type === "file") return [];
  if (weightBytes !== undefined)
    throw new FormatError(
      `--serve ${engine}: got --weights ${type}, expected file: ${name} is shipped as ${shipped ?? "its files say"}, and ${title} ${version} loads it so`,
    );
  if (type === "float8")
    return [
      {
        flag: "--quantization",
        value: engine === "vllm" ? "fp8_per_tensor" : "fp8",
        why: "weights of 16 bits become float8 as they are loaded",
      },
    ];
  if (type === "bfloat16" || type === "float16" || type === "float32")
    return [{ flag: "--dtype", value: type, why: "the type of weights that was planned" }];
  throw new FormatError(
    `--serve ${engine}: got --weights ${type}, expected f32, f16, bf16, fp8 or a checkpoint that is shipped in so few bits; plan that one`,
  );
}
