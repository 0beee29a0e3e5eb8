import type { Context } from "hono";
import type { Env } from "./guard.ts";
import type { Hall } from "./hall.ts";
import type { Registry } from "./registry.ts";

/** A model as OpenAI's API lists it, with what vLLM adds: the context. */
function cardOf(registry: Registry, name: string) {
  const { place, served } = registry.find(name);
  return {
    id: name,
    object: "model",
    created: place.created,
    owned_by: "biform",
    // JSON has no undefined: the key is missing until the context is known.
    max_model_len: served?.context,
    biform: { loaded: served !== undefined, bytes: served?.bytes ?? place.bytes, context: served?.context ?? null },
  };
}

/** GET /v1/models. */
export function listModels(c: Context<Env>, { registry }: Hall): Response {
  return c.json({ object: "list", data: registry.places.map(({ name }) => cardOf(registry, name)) });
}

/** GET /v1/models/{id}, whose id may have slashes. Throws Problem with status 404. */
export function showModel(c: Context<Env>, { registry }: Hall): Response {
  return c.json(cardOf(registry, c.req.param("id") ?? ""));
}
