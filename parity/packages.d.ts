/** The part of llama.cpp's package that is used here, so that the type check does not need it to be installed. */
declare module "node-llama-cpp" {
  export enum LlamaLogLevel {
    error = "error",
    info = "info",
  }
  export function getLlama(options: {
    readonly gpu: false;
    readonly build: "never";
    readonly skipDownload: true;
    readonly progressLogs: false;
    readonly logLevel: LlamaLogLevel;
    readonly logger: (level: LlamaLogLevel, message: string) => void;
  }): Promise<{
    readonly llamaCppRelease: { readonly release: string };
    loadModel(options: { readonly modelPath: string; readonly gpuLayers: 0 }): Promise<Model>;
  }>;
  interface Model {
    createContext(options: {
      readonly contextSize: number;
      readonly sequences: number;
      readonly batchSize: number;
      readonly flashAttention: boolean;
      readonly experimentalKvCacheKeyType: string;
      readonly experimentalKvCacheValueType: string;
    }): Promise<{ dispose(): Promise<void> }>;
    dispose(): Promise<void>;
  }
}
