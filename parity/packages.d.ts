/** The part of llama.cpp's package that is used here, so that the type check does not need it to be installed. */
declare module "node-llama-cpp" {
  export enum LlamaLogLevel {
    error = "error",
  }
  export function getLlama(options: {
    readonly gpu: false;
    readonly build: "never";
    readonly skipDownload: true;
    readonly progressLogs: false;
    readonly logLevel: LlamaLogLevel;
    readonly logger: (level: LlamaLogLevel, message: string) => void;
  }): Promise<{ readonly llamaCppRelease: { readonly release: string } }>;
}
