/**
 * Addresses of a system's management listeners as people write them: `host:port[,host:port]`. A host alone means
 * DEFAULT_SYSTEM_PORT; an IPv6 address stands in brackets.
 */
import { DaosError } from "../base/errors.ts";

/** Port of an engine's management listener (DAOS: 10001). */
export const DEFAULT_SYSTEM_PORT = 10_001;

export interface SystemAddress {
  readonly host: string;
  readonly port: number;
}

/** Throws INVALID_ARGUMENT. The result is not empty. */
export function parseSystemAddresses(text: string): readonly SystemAddress[] {
  return text.split(",").map((part) => parseAddress(part.trim(), text));
}

function parseAddress(part: string, text: string): SystemAddress {
  const match = /^(?:\[([0-9a-f:.%]+)\]|([^\s:[\]]+))(?::(\d{1,5}))?$/i.exec(part);
  const port = match?.[3] === undefined ? DEFAULT_SYSTEM_PORT : Number(match[3]);
  if (match === null || port < 1 || port > 65_535) {
    throw new DaosError("INVALID_ARGUMENT", `Cannot use system "${text}": write it as host:port[,host:port].`);
  }
  return { host: (match[1] ?? match[2])!, port };
}

export function formatAddress(address: SystemAddress): string {
  return address.host.includes(":") ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}
