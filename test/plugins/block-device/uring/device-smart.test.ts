/**
 * The SMART log with a fake nvme-cli: no such device is needed.
 */
import { expect, test } from "bun:test";
import { deviceSmart } from "../../../../plugins/block-device/uring/device-smart.ts";
import { realWorld } from "../../../../src/world/index.ts";
import { expectCode } from "../../../conformance/support.ts";

const { timers } = realWorld();
const DEVICE = "/dev/nvme0n1";

/** What nvme-cli 2.3 prints. */
const LOG = {
  critical_warning: 0,
  temperature: 311,
  avail_spare: 100,
  spare_thresh: 10,
  percent_used: 3,
  data_units_read: 2_000,
  data_units_written: "4000",
  power_cycles: 12,
  power_on_hours: 8760,
  unsafe_shutdowns: 2,
  media_errors: 1,
  num_err_log_entries: 7,
};

const shell = (script: string, timeoutMs?: number) =>
  deviceSmart(timers, DEVICE, {
    command: ["sh", "-c", script, "nvme"],
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  });

test("the log's figures, in our units; the program is asked for this device's log as JSON", async () => {
  const smart = await shell(`test "$*" = "smart-log ${DEVICE} -o json" && echo '${JSON.stringify(LOG)}'`);
  expect(smart).toEqual({
    criticalWarning: 0,
    temperatureCelsius: 38,
    availableSparePercent: 100,
    spareThresholdPercent: 10,
    usedPercent: 3,
    readBytes: 1_024_000_000,
    writtenBytes: 2_048_000_000,
    powerCycles: 12,
    powerOnHours: 8760,
    unsafeShutdowns: 2,
    mediaErrors: 1,
    errorLogEntries: 7,
  });
});

test("an answer that lacks a figure, or is none: IO", async () => {
  for (const answer of ["", "{}", "null", "[1]", "not JSON", JSON.stringify({ ...LOG, media_errors: -1 })]) {
    await expectCode("IO", () => shell(`echo '${answer}'`));
  }
  for (const name of Object.keys(LOG)) {
    const { [name as keyof typeof LOG]: _, ...rest } = LOG;
    await expectCode("IO", () => shell(`echo '${JSON.stringify(rest)}'`));
  }
});

test("a program that fails: IO with its words", async () => {
  const failing = shell("echo 'Permission denied' >&2; exit 1");
  expect(await failing.catch((error: Error) => error.message)).toContain("Permission denied");
});

test("a device that hangs: TIMEOUT; an answer without end: no memory taken", async () => {
  await expectCode("TIMEOUT", () => shell("exec sleep 1000", 50));
  await expectCode("IO", () => shell("exec yes"));
});

test("no NVMe device, or no nvme-cli: UNSUPPORTED", async () => {
  for (const path of ["/dev/sda", "/tmp/file", "/dev/nvme0", "/dev/nvme0n1; reboot"]) {
    await expectCode("UNSUPPORTED", () => deviceSmart(timers, path, { command: ["sh", "-c", "echo"] }));
  }
  await expectCode("UNSUPPORTED", () => deviceSmart(timers, DEVICE, { command: ["no-such-program-anywhere"] }));
});
