/**
 * What the process tells about itself, and the signals it gets. Only the composition roots use this file.
 */
import { networkInterfaces } from "node:os";

/** CPU time of all threads since start, microseconds, and resident memory. */
export interface ProcessUsage {
  readonly cpuUserUs: number;
  readonly cpuSystemUs: number;
  readonly residentBytes: number;
}

export function processUsage(): ProcessUsage {
  const cpu = process.cpuUsage();
  return { cpuUserUs: cpu.user, cpuSystemUs: cpu.system, residentBytes: process.memoryUsage.rss() };
}

/** An address of this machine that others can reach, IPv4 first; undefined when it has none. */
export function hostAddress(): string | undefined {
  const outward = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ internal, address }) => !internal && !address.startsWith("fe80:"));
  return (outward.find(({ family }) => family === "IPv4") ?? outward[0])?.address;
}

export type StopSignal = "SIGINT" | "SIGTERM" | "SIGHUP";

/** Calls `handler` for each signal that asks the process to stop. Returns what takes the handler away. */
export function onStopSignal(handler: (signal: StopSignal) => void): () => void {
  const signals: readonly StopSignal[] = ["SIGINT", "SIGTERM", "SIGHUP"];
  for (const signal of signals) process.on(signal, handler);
  return () => {
    for (const signal of signals) process.off(signal, handler);
  };
}
