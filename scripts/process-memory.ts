/**
 * Resident memory of a process as Linux counts it, and its highest reading while it is watched. Private memory (heap, log
 * region) and pages of mapped files (the settled index) are told apart: the kernel can take only the latter back.
 */
import { readFileSync } from "node:fs";

export interface ProcessMemory {
  readonly residentBytes: number;
  readonly privateBytes: number;
  readonly mappedBytes: number;
}

/** Of the process now. Throws when it is gone, or where there is no /proc. */
export function processMemory(pid: number): ProcessMemory {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const bytesOf = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)![1]) * 1024;
  const mappedBytes = bytesOf("RssFile") + bytesOf("RssShmem");
  return { residentBytes: bytesOf("VmRSS"), privateBytes: bytesOf("RssAnon"), mappedBytes };
}

const SAMPLE_INTERVAL_MS = 250;

/** Samples a process until it is stopped. */
export class MemoryWatch {
  /** The sample with the most resident bytes. */
  peak: ProcessMemory;
  readonly #timer: Timer;

  constructor(pid: number) {
    this.peak = processMemory(pid);
    this.#timer = setInterval(() => {
      const now = processMemory(pid);
      if (now.residentBytes > this.peak.residentBytes) this.peak = now;
    }, SAMPLE_INTERVAL_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
