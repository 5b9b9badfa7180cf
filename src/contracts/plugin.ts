/**
 * What a plugin is: a module whose default export is `definePlugin({ kind, name, ... })`. docs/plugins.md tells authors
 * the rest.
 */
import type { BlockDeviceProvider } from "./block-device.ts";
import type { InterfaceProvider } from "./interface.ts";
import type { MetaStoreProvider } from "./meta-store.ts";
import type { RedundancyProvider } from "./redundancy.ts";
import type { ScmProvider } from "./scm.ts";

export interface ProviderByKind {
  scm: ScmProvider;
  "block-device": BlockDeviceProvider;
  redundancy: RedundancyProvider;
  interface: InterfaceProvider;
  "meta-store": MetaStoreProvider;
}
export type PluginKind = keyof ProviderByKind;
export const PLUGIN_KINDS: readonly PluginKind[] = ["scm", "block-device", "redundancy", "interface", "meta-store"];

/** Version of the contracts in this folder; a plugin made for another major version is refused. */
export const PLUGIN_API_VERSION = 1;

/** A schema in the Standard Schema shape (standardschema.dev); zod, valibot and arktype schemas all are. */
export interface ConfigSchema<Config> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    validate(value: unknown): SchemaResult<Config> | Promise<SchemaResult<Config>>;
  };
}
export type SchemaResult<Config> =
  | { readonly value: Config; readonly issues?: undefined }
  | { readonly issues: readonly { readonly message: string; readonly path?: readonly unknown[] | undefined }[] };

/** Why a plugin cannot serve here; `undefined` when it can. */
export type Availability = { readonly available: true } | { readonly available: false; readonly reason: string };

export interface PluginDefinition<Kind extends PluginKind = PluginKind, Config = unknown> {
  readonly apiVersion: typeof PLUGIN_API_VERSION;
  readonly kind: Kind;
  /** Lower case, digits and dashes; unique within its kind. */
  readonly name: string;
  /** One line for `daos server plugins`. */
  readonly description: string;
  /** What optional parts of the contract it serves, such as `discard`; words are the contract's. */
  readonly supports: readonly string[];
  readonly configSchema: ConfigSchema<Config>;
  /** Whether its library or device is there. Must not throw. */
  probe(): Availability;
  /** Makes the provider from a checked configuration. */
  create(config: Config): ProviderByKind[Kind];
}

/** Gives the definition its type. */
export function definePlugin<Kind extends PluginKind, Config>(
  definition: Omit<PluginDefinition<Kind, Config>, "apiVersion">,
): PluginDefinition<Kind, Config> {
  return { apiVersion: PLUGIN_API_VERSION, ...definition };
}
