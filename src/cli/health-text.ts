/** What pools and containers survive, and what fits them, as commands print it. */
import { formatSize } from "../base/size.ts";
import type { ClassCapacity, DataHealth } from "../format/pool-state.ts";

/** One line. */
export function healthText(health: DataHealth | undefined): string {
  if (health === undefined) return "not told";
  const { state, tolerable, reason } = health;
  const more = `${tolerable} more failure(s) are survived`;
  return reason === "" ? `${state}, ${more}` : `${state}: ${reason}; ${more}`;
}

/** Rows of a record. */
export function capacityRows(capacity: readonly ClassCapacity[] = []): [string, string][] {
  return capacity.map(({ class: name, usableBytes, survives }, index) => {
    return [index === 0 ? "Room for" : "", `${formatSize(usableBytes)} as ${name}, survives ${survives}`];
  });
}
