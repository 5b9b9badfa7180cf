/**
 * The plugins of one engine or client: which there are, whether each can serve here, and the making of providers from
 * checked configuration. A plugin that is broken, missing or a duplicate is listed with its reason and harms nobody
 * unless it is asked for by name. Each thread has a registry of its own.
 */
import { DaosError } from "../base/errors.ts";
import { didYouMean } from "../base/suggestion.ts";
import type { PluginDefinition, PluginKind, ProviderByKind } from "../contracts/plugin.ts";
import type { PluginListReply } from "../format/operations.ts";
import { pluginError, withPluginErrors } from "./plugin-errors.ts";
import { checkManifest } from "./plugin-manifest.ts";

export type PluginListing = PluginListReply["plugins"][number];

/** Origin of the plugins that the executable holds. */
export const BUILT_IN_ORIGIN = "built in";

interface Entry {
  readonly definition: PluginDefinition;
  readonly origin: string;
  /** Why it cannot serve; undefined when it can. */
  readonly reason: string | undefined;
  inUse: boolean;
}

/** A module that gave no usable definition. */
interface Refusal {
  readonly kind: string;
  readonly name: string;
  readonly origin: string;
  readonly reason: string;
}

export class PluginRegistry {
  readonly #entries = new Map<string, Entry>();
  readonly #refusals: Refusal[] = [];

  constructor(builtIn: readonly PluginDefinition[]) {
    for (const definition of builtIn) this.add({ default: definition }, BUILT_IN_ORIGIN);
  }

  /** Takes the namespace of a loaded module. Never throws: what is wrong with it is listed. */
  add(moduleNamespace: unknown, origin: string): void {
    const verdict = checkManifest(moduleNamespace);
    if (!("definition" in verdict)) {
      this.refuse(origin, verdict.reason, verdict.kind, verdict.name);
      return;
    }
    const { definition } = verdict;
    const key = keyOf(definition.kind, definition.name);
    const older = this.#entries.get(key);
    if (older !== undefined) {
      this.refuse(origin, `the name is taken: ${older.origin}`, definition.kind, definition.name);
      return;
    }
    this.#entries.set(key, { definition, origin, reason: probe(definition), inUse: false });
  }

  /** Lists a plugin that could not even be loaded. */
  refuse(origin: string, reason: string, kind = "unknown", name = origin): void {
    this.#refusals.push({ kind, name, origin, reason });
  }

  /** Names of the plugins of a kind that can serve, in order of registration. */
  available(kind: PluginKind): string[] {
    const usable = this.#ofKind(kind).filter((entry) => entry.reason === undefined);
    return usable.map((entry) => entry.definition.name);
  }

  /** Whether there is such a plugin and it serves this optional part of its contract. */
  supports(kind: PluginKind, name: string, part: string): boolean {
    return this.#entries.get(keyOf(kind, name))?.definition.supports.includes(part) === true;
  }

  /**
   * Checks that the plugin can serve with this configuration and marks it as in use, without making anything: for the
   * thread that starts the ones that do. Rejects as `provider` does.
   */
  async check(kind: PluginKind, name: string, config: unknown): Promise<void> {
    const entry = this.#require(kind, name);
    await checkedConfig(entry.definition, config);
    entry.inUse = true;
  }

  /**
   * The provider of this name, made from `config` (absent: `{}`, all defaults). Rejects with NOT_FOUND (no such plugin),
   * UNSUPPORTED (it cannot serve here), CONFIGURATION (naming each wrong key), or what its `create` threw.
   */
  async provider<Kind extends PluginKind>(kind: Kind, name: string, config?: unknown): Promise<ProviderByKind[Kind]> {
    const entry = this.#require(kind, name);
    const checked = await checkedConfig(entry.definition, config);
    const label = labelOf(entry.definition);
    let provider: ProviderByKind[PluginKind];
    try {
      provider = entry.definition.create(checked);
    } catch (error) {
      throw pluginError(label, error);
    }
    if (typeof provider !== "object" || provider === null) {
      throw new DaosError(
        "UNSUPPORTED",
        `Cannot use ${label}: its \`create\` gave no provider. Get another version of it.`,
      );
    }
    entry.inUse = true;
    const guarded = entry.origin === BUILT_IN_ORIGIN ? provider : withPluginErrors(label, provider);
    return guarded as ProviderByKind[Kind];
  }

  /** Everything known, for `daos server plugins`: usable and refused ones, in order of registration. */
  list(): PluginListing[] {
    const known = [...this.#entries.values()].map(({ definition, origin, reason, inUse }): PluginListing => ({
      kind: definition.kind,
      name: definition.name,
      description: definition.description,
      origin,
      state: reason !== undefined ? "unavailable" : inUse ? "in use" : "available",
      reason: reason ?? "",
    }));
    const refused = this.#refusals.map((refusal): PluginListing => ({
      ...refusal,
      description: "",
      state: "unavailable",
    }));
    return [...known, ...refused];
  }

  #ofKind(kind: PluginKind): Entry[] {
    return [...this.#entries.values()].filter((entry) => entry.definition.kind === kind);
  }

  #require(kind: PluginKind, name: string): Entry {
    const entry = this.#entries.get(keyOf(kind, name));
    if (entry === undefined) throw this.#unknown(kind, name);
    if (entry.reason === undefined) return entry;
    const instead = this.available(kind).join(", ") || "none";
    throw new DaosError(
      "UNSUPPORTED",
      `Cannot use ${kind} plugin "${name}": ${entry.reason.replace(/\.$/, "")}. Mend that, or configure another (available: ${instead}).`,
    );
  }

  #unknown(kind: PluginKind, name: string): DaosError {
    const what = `Cannot use ${kind} plugin "${name}"`;
    const refusal = this.#refusals.find((candidate) => candidate.name === name && candidate.kind === kind);
    if (refusal !== undefined) return new DaosError("UNSUPPORTED", `${what}: ${refusal.reason} (${refusal.origin}).`);
    const failed = this.#refusals.filter((candidate) => candidate.kind === "unknown");
    const failures = failed.map((candidate) => ` "${candidate.origin}" did not load: ${candidate.reason}.`).join("");
    const names = this.#ofKind(kind).map((entry) => entry.definition.name);
    const hint = didYouMean(name, names);
    return new DaosError(
      "NOT_FOUND",
      `${what}: there is none. Known: ${names.join(", ") || "none"}.${hint}${failures}`,
    );
  }
}

function keyOf(kind: string, name: string): string {
  return `${kind}/${name}`;
}

function labelOf(definition: PluginDefinition): string {
  return `${definition.kind} plugin "${definition.name}"`;
}

/** Why the plugin cannot serve here, or undefined. */
function probe(definition: PluginDefinition): string | undefined {
  try {
    const availability = definition.probe();
    return availability.available ? undefined : oneLine(availability.reason);
  } catch (error) {
    return `its probe failed: ${oneLine(error instanceof Error ? error.message : String(error))}`;
  }
}

function oneLine(text: unknown): string {
  return String(text).replaceAll(/\s+/g, " ").trim();
}

async function checkedConfig(definition: PluginDefinition, config: unknown): Promise<unknown> {
  let result;
  try {
    result = await definition.configSchema["~standard"].validate(config ?? {});
  } catch (error) {
    throw pluginError(labelOf(definition), error);
  }
  if (result.issues === undefined) return result.value;
  const issues = result.issues.map((issue) => `${pathOf(issue.path) || "configuration"}: ${oneLine(issue.message)}`);
  throw new DaosError("CONFIGURATION", `Cannot configure ${labelOf(definition)}: ${issues.join("; ")}. Correct it.`);
}

/** A path of keys, or of `{ key }` segments, as Standard Schema has it: `a.b[2]`. */
function pathOf(path: readonly unknown[] | undefined): string {
  let text = "";
  for (const segment of path ?? []) {
    const key: unknown = typeof segment === "object" && segment !== null ? (segment as { key?: unknown }).key : segment;
    if (typeof key === "number") text += `[${key}]`;
    else text += text === "" ? String(key) : `.${String(key)}`;
  }
  return text;
}
