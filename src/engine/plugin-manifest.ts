/**
 * What a module must export to be a plugin. Foreign modules are not trusted to match their types: every member is
 * looked at before it is used.
 */
import { PLUGIN_API_VERSION, PLUGIN_KINDS, type PluginDefinition, type PluginKind } from "../contracts/plugin.ts";

const NAME_PATTERN = /^[a-z0-9][a-z0-9-]{0,62}$/;

/** A definition, or the reason why the module has none. `kind` and `name` as far as they can be told. */
export type ManifestVerdict =
  | { readonly definition: PluginDefinition }
  | { readonly reason: string; readonly kind?: string; readonly name?: string };

/** Looks at what a module exports (its namespace object). */
export function checkManifest(moduleNamespace: unknown): ManifestVerdict {
  const exported = (moduleNamespace as { default?: unknown } | null | undefined)?.default;
  if (typeof exported !== "object" || exported === null) {
    return { reason: "its module has no default export made by definePlugin" };
  }
  const manifest = exported as Readonly<Record<string, unknown>>;
  const reason = faultOf(manifest);
  if (reason === undefined) return { definition: exported as PluginDefinition };
  return {
    reason,
    ...(typeof manifest["kind"] === "string" ? { kind: manifest["kind"] } : {}),
    ...(typeof manifest["name"] === "string" ? { name: manifest["name"] } : {}),
  };
}

function faultOf(manifest: Readonly<Record<string, unknown>>): string | undefined {
  const { apiVersion, kind, name, description, supports, configSchema } = manifest;
  if (apiVersion !== PLUGIN_API_VERSION) {
    return `it is made for plugin API ${String(apiVersion)}, this server has ${PLUGIN_API_VERSION}: get a matching version`;
  }
  if (!PLUGIN_KINDS.includes(kind as PluginKind)) {
    return `its kind "${String(kind)}" is not one of ${PLUGIN_KINDS.join(", ")}`;
  }
  if (typeof name !== "string" || !NAME_PATTERN.test(name)) {
    return `its name "${String(name)}" is not lower case letters, digits and dashes`;
  }
  if (typeof description !== "string" || description === "") return "it has no description";
  if (!Array.isArray(supports) || supports.some((word) => typeof word !== "string")) {
    return "its `supports` is not a list of words";
  }
  const standard = (configSchema as { "~standard"?: { version?: unknown; validate?: unknown } } | undefined)?.[
    "~standard"
  ];
  if (standard?.version !== 1 || typeof standard.validate !== "function") {
    return "its `configSchema` is not a Standard Schema (zod, valibot, arktype)";
  }
  if (typeof manifest["probe"] !== "function") return "it has no `probe` function";
  if (typeof manifest["create"] !== "function") return "it has no `create` function";
  return undefined;
}
