/**
 * What a system does by itself when engines fail: DAOS's `self_heal` flags. All are on unless the administrator says
 * otherwise.
 */
import { DaosError } from "./errors.ts";
import { suggest } from "./suggestion.ts";

export const SELF_HEAL_FLAGS = {
  exclude: "An engine that is dead or silent for too long is excluded from the system.",
  pool_exclude: "An engine that is excluded goes out of every pool that bears it.",
  pool_reintegrate: "An engine that went out of pools so, and is there again, is taken back into them.",
  pool_rebuild: "What targets had that are gone is brought to others; off, as if every pool's rebuild were paused.",
} as const;
export type SelfHealFlag = keyof typeof SELF_HEAL_FLAGS;

export const ALL_SELF_HEAL = Object.keys(SELF_HEAL_FLAGS) as SelfHealFlag[];

/** In the order of the table, each once; `none` alone is no flag. Throws INVALID_ARGUMENT. */
export function checkSelfHealFlags(names: readonly string[]): SelfHealFlag[] {
  if (names.length === 1 && names[0] === "none") return [];
  for (const name of names) {
    if (Object.hasOwn(SELF_HEAL_FLAGS, name)) continue;
    const meant = suggest(name, ALL_SELF_HEAL);
    const advice = meant === undefined ? `Use ${ALL_SELF_HEAL.join(", ")} or none` : `Did you mean "${meant}"`;
    const end = meant === undefined ? "." : "?";
    throw new DaosError("INVALID_ARGUMENT", `Cannot use self-heal flag "${name}": there is none. ${advice}${end}`);
  }
  return ALL_SELF_HEAL.filter((flag) => names.includes(flag));
}
