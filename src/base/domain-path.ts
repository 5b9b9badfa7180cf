/**
 * Fault domains as people write them: a path from the root, such as `/rack1/node2`. `/` is the root itself. What fails
 * together shares a prefix; the engine's rank is one more level beneath.
 */
import { DaosError } from "./errors.ts";
import { MAX_DOMAIN_LEVELS, MAX_DOMAIN_NAME } from "./limits.ts";

const NAME = new RegExp(`^[A-Za-z0-9._-]{1,${MAX_DOMAIN_NAME}}$`);

/** The path itself when it is one. Throws INVALID_ARGUMENT. */
export function checkDomainPath(text: string): string {
  const names = text === "/" ? [] : text.split("/").slice(1);
  if (text.startsWith("/") && names.length <= MAX_DOMAIN_LEVELS && names.every((name) => NAME.test(name))) return text;
  const allowed = `1 to ${MAX_DOMAIN_LEVELS} names of A-Z a-z 0-9 . _ -, each after a /, such as /rack1/node2`;
  throw new DaosError(
    "INVALID_ARGUMENT",
    `Cannot use fault domain "${text.slice(0, MAX_DOMAIN_NAME)}": it is no path. Write ${allowed}.`,
  );
}
