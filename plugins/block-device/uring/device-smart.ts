/**
 * What an NVMe device says about its own health: its SMART log, read by `nvme smart-log` of nvme-cli. Takes a bounded
 * time, also when the device hangs; every figure is checked. Other devices, and files, have no such log.
 */
import { DaosError } from "../../../src/base/errors.ts";
import { KIB } from "../../../src/base/limits.ts";
import type { Timers } from "../../../src/contracts/world.ts";

/** Time for the device to answer, milliseconds. */
const SMART_TIMEOUT_MS = 10_000;
/** The log is about 1 KiB as JSON. */
const MAX_OUTPUT_BYTES = 64 * KIB;
/** `data_units`: a thousand blocks of 512 bytes. */
const DATA_UNIT_BYTES = 512_000;
const KELVIN_AT_ZERO_CELSIUS = 273;
const NVME_NAMESPACE = /^\/dev\/nvme\d+n\d+(p\d+)?$/;

/** NVM Express base specification 2.0, figure 207. */
export interface DeviceSmart {
  /** Bits: 0 spare is low, 1 temperature, 2 reliability is degraded, 3 read-only, 4 backup of volatile memory failed. */
  readonly criticalWarning: number;
  readonly temperatureCelsius: number;
  readonly availableSparePercent: number;
  readonly spareThresholdPercent: number;
  /** Of the life that the maker promises; may be over 100. */
  readonly usedPercent: number;
  readonly readBytes: number;
  readonly writtenBytes: number;
  readonly powerCycles: number;
  readonly powerOnHours: number;
  readonly unsafeShutdowns: number;
  readonly mediaErrors: number;
  readonly errorLogEntries: number;
}

/**
 * The SMART log of the device at `path`. Rejects with UNSUPPORTED (not an NVMe device, or no nvme-cli), TIMEOUT, or IO.
 * `command`: what to run in place of `nvme`.
 */
export async function deviceSmart(
  timers: Timers,
  path: string,
  options: { readonly command?: readonly string[]; readonly timeoutMs?: number } = {},
): Promise<DeviceSmart> {
  if (!NVME_NAMESPACE.test(path)) throw smartError("UNSUPPORTED", path, "it is no NVMe namespace. Name /dev/nvme0n1");
  const command = options.command ?? ["nvme"];
  const program = Bun.which(command[0] ?? "");
  if (program === null) throw smartError("UNSUPPORTED", path, `there is no ${command[0]}. Install nvme-cli`);
  const child = Bun.spawn([program, ...command.slice(1), "smart-log", path, "-o", "json"], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const late = Promise.withResolvers<"late">();
  const cancel = timers.after(options.timeoutMs ?? SMART_TIMEOUT_MS, () => late.resolve("late"));
  // Not `exited` first: a child that fills its pipe never ends.
  const answer = Promise.all([readBounded(child.stdout), readBounded(child.stderr), child.exited]);
  answer.catch(() => undefined);
  try {
    const result = await Promise.race([answer, late.promise]);
    if (result === "late") throw smartError("TIMEOUT", path, "it does not answer. Look at the system's log");
    const [output, complaint, status] = result;
    if (status !== 0) throw smartError("IO", path, `nvme-cli failed (${firstLine(complaint)}). Run as root`);
    return parseSmart(path, output);
  } finally {
    cancel();
    child.kill("SIGKILL");
  }
}

/** Checks the JSON of `nvme smart-log`. Throws IO. */
function parseSmart(path: string, text: string): DeviceSmart {
  let log: unknown;
  try {
    log = JSON.parse(text);
  } catch {
    log = undefined;
  }
  const fields = (typeof log === "object" && log !== null ? log : {}) as Readonly<Record<string, unknown>>;
  const figure = (name: string): number => {
    // Counters of 128 bits come as text where they do not fit.
    const value = typeof fields[name] === "string" ? Number(fields[name]) : fields[name];
    if (typeof value === "number" && Number.isFinite(value) && value >= 0) return value;
    throw smartError("IO", path, `nvme-cli's answer has no ${name}. Install another nvme-cli`);
  };
  return {
    criticalWarning: figure("critical_warning"),
    temperatureCelsius: figure("temperature") - KELVIN_AT_ZERO_CELSIUS,
    availableSparePercent: figure("avail_spare"),
    spareThresholdPercent: figure("spare_thresh"),
    usedPercent: figure("percent_used"),
    readBytes: figure("data_units_read") * DATA_UNIT_BYTES,
    writtenBytes: figure("data_units_written") * DATA_UNIT_BYTES,
    powerCycles: figure("power_cycles"),
    powerOnHours: figure("power_on_hours"),
    unsafeShutdowns: figure("unsafe_shutdowns"),
    mediaErrors: figure("media_errors"),
    errorLogEntries: figure("num_err_log_entries"),
  };
}

/** The first bytes of a stream as text; the rest is not waited for. */
async function readBounded(stream: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const bytes of stream) {
    text += decoder.decode(bytes, { stream: true });
    if (text.length > MAX_OUTPUT_BYTES) break;
  }
  return text.slice(0, MAX_OUTPUT_BYTES);
}

function firstLine(text: string): string {
  return text.trim().split("\n")[0] || "no message";
}

function smartError(code: "UNSUPPORTED" | "TIMEOUT" | "IO", path: string, state: string): DaosError {
  return new DaosError(code, `Cannot read the SMART log of "${path}": ${state}.`);
}
