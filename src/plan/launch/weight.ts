/** The flags that make an engine load weights as a plan counts them. */
import type { Blueprint } from "../../cost/blueprint.ts";
import type { WeightType } from "../../cost/type.ts";
import { FormatError } from "../../tensor/error.ts";
import { type EngineName, enginesBy, type Flag } from "./flag.ts";

/** The type that an engine holds weights in: those that are shipped in float32 become 16 bits, as its kernels want them. */
export function loadedAs({ floats }: Blueprint, type: WeightType): WeightType {
  return type === "file" && floats === "float32" ? "bfloat16" : type;
}

/** Throws FormatError for a type that an engine does not make of what is shipped. */
export function weightFlags(engine: EngineName, blueprint: Blueprint, type: WeightType): Flag[] {
  const { weightBytes, shipped, floats, name } = blueprint;
  const { title, version } = enginesBy[engine];
  const dtype = (value: string, why: string) => ({ flag: "--dtype", value, why });
  // Without the flag vLLM would take bfloat16 and SGLang float16 (`_resolve_auto_dtype`, `_get_and_verify_dtype`).
  const narrowed =
    floats === "float32"
      ? [dtype("bfloat16", "weights shipped in float32 are loaded in 16 bits, as the kernels of attention take them")]
      : [];
  if (type === "file") return narrowed;
  if (weightBytes !== undefined && floats === undefined)
    throw new FormatError(
      `--serve ${engine}: got --weights ${type}, expected file: ${name} is shipped as ${shipped ?? "its files say"}, and ${title} ${version} loads it so`,
    );
  if (type === "float8")
    return [
      ...narrowed,
      {
        flag: "--quantization",
        value: engine === "vllm" ? "fp8_per_tensor" : "fp8",
        why: "weights of 16 bits become float8 as they are loaded",
      },
    ];
  if (type === "bfloat16" || type === "float16") return [dtype(type, "the type of weights that was planned")];
  throw new FormatError(
    `--serve ${engine}: got --weights ${type}, expected f16, bf16, fp8 or a checkpoint that is shipped in so few bits; ` +
      (type === "float32" ? "kernels of attention compute in 16 bits" : "plan that one"),
  );
}
