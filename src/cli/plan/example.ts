/** What `biform plan --help` shows below the options. */
export const examples = `
MODEL is a preset, a config.json, a model folder, a GGUF file, an http(s) address of either (only its header is read), a
model on the hub as ORG/NAME, ORG/NAME@REVISION, ORG/NAME:Q4_K_M or ORG/NAME/FILE.gguf (the hub is HF_ENDPOINT's, and
HF_TOKEN is sent to it alone; a file or a folder of that name goes first), or a variant's name with sizes.

Examples:
  biform plan deepseek-r1                              what fits, how fast, and what engines keep
  biform plan deepseek-r1 --context 160k --cache f16   10.72 GiB of latents
  biform plan models/mine/config.json --memory 24GiB   the longest context in a memory
  biform plan model.gguf --machine this,rtx-4090       on this machine (biform tune measures it) and on another
  biform plan https://example.org/model.gguf           reads the header only
  biform plan Qwen/Qwen3-8B                            the hub's config.json
  biform plan bartowski/Qwen_Qwen3-8B-GGUF:Q4_K_M      the header of a GGUF file on the hub
  biform plan deepseek-v3 --batch 64 --step 4          64 sequences, 4 new tokens per step (speculative decoding)
  biform plan deepseek-v3 --weights fp8 --cache fp8 --machine h100 --layout tp8,dp8
  biform plan deepseek-r1 --weights fp8 --machine 8xh200,16xh800 --batch 64    which layout is best, and why
  biform plan gpt-oss-120b --weights q4 --machine rtx-4090+ryzen-9950x --offload experts
  biform plan gemma-3-27b --context 32k --engine np=4,ctk=q8_0,ctv=q8_0,ub=2048    four slots of llama.cpp
  biform plan deepseek-v4-flash --cache fp8 --engine tp=8,cp=2    what one of vLLM's ranks keeps
  biform plan MLA --width 2048 --heads 16 --layers 24  a variant at a size (biform variants lists them)
  biform plan odd/config.json --as "MLA:c512:r64"      where the architecture is not known: name its attention
  biform plan deepseek-v2-lite glm-4.7-flash llama-3.1-8b --context 32k
  biform plan llama-3.1-8b --draft yuhuili/EAGLE3-LLaMA3.1-Instruct-8B    what a head that proposes tokens adds
  biform plan deepseek-v3 --machine 8xh200 --cache fp8 --batch 64 --serve vllm    the command line that fits, with reasons
  biform plan deepseek-v3 --diff glm-5                 what changes from one to the other, in bytes and seconds
  biform plan deepseek-r1 --json | jq '.cache[] | select(.dtype == "float16")'
  biform plan --match cache=512                        for each variant the sizes whose cache is 512 numbers per token and layer
  biform plan MLA GTA4 --match decode=4e6 --width 4096 --heads 32
  biform plan deepseek-v2-lite --measure               which form is faster here, measured beside predicted; a minute
  biform plan deepseek-r1 --html plan.html             a page with pictures, numbers and sources
  biform plan --list                                   models and machines that are known by name
  biform plan --paper 10907                            the tables of kexue.fm/archives/10907, counted from the definitions`;
