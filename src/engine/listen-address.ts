/**
 * HOST:PORT as people write it, and whether it stays on this machine.
 */

export interface ListenAddress {
  readonly host: string;
  /** 0: the system chooses. */
  readonly port: number;
}

export const DEFAULT_PORT = 10001;

/** `host:port`, `[::1]:port`, or `host` alone with DEFAULT_PORT. Undefined when it is none of these. */
export function parseListenAddress(text: string): ListenAddress | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+))(?::(\d{1,5}))?$/.exec(text.trim());
  if (match === null) return undefined;
  const port = match[3] === undefined ? DEFAULT_PORT : Number(match[3]);
  return port > 0xffff ? undefined : { host: (match[1] ?? match[2])!, port };
}

/** `host:port`, with brackets around an IPv6 address. */
export function formatListenAddress({ host, port }: ListenAddress): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** True for addresses that only this machine reaches: 127.0.0.0/8, ::1, localhost. */
export function isLoopback(host: string): boolean {
  const name = host.toLowerCase();
  if (name === "localhost" || name === "::1" || name === "0:0:0:0:0:0:0:1") return true;
  return /^127(\.\d{1,3}){3}$/.test(name);
}

/** True for addresses that stand for all of the machine's: nobody can connect to them from elsewhere. */
export function isWildcard(host: string): boolean {
  return host === "0.0.0.0" || host === "::" || host === "0:0:0:0:0:0:0:0";
}
