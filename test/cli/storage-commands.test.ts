/** `daos storage ...`: flags that are handed over, refusals, what is printed. */
import { expect, test } from "bun:test";
import { Harness } from "./harness.ts";

const DEVICE = "01234567-89ab-4cde-8f01-23456789abcd";

test("storage scan needs no engine and says where there is nothing", async () => {
  const harness = new Harness();
  const { status, stdout } = await harness.run("storage scan");
  expect(status).toBe(0);
  expect(stdout).toBe(
    "Block devices: none\n\nNVMe on PCI: none\n\nPersistent memory: none\n\nHuge pages: none\n\nMissing: nothing\n",
  );
  expect(harness.connects).toEqual([]);
});

test("storage format hands its flags over and refuses without --force", async () => {
  const harness = new Harness();
  const flags = "--config f.yml --storage /data --targets 2 --scm-size 256MiB --nvme-size 1GiB";
  const refused = await harness.run(`storage format ${flags}`);
  expect([refused.status, refused.stdout]).toEqual([1, ""]);
  expect(await harness.json(`admin storage format ${flags} --force`)).toEqual({
    status: 0,
    value: { storage: "/data", formatted: true },
    stderr: "",
  });
  const given = { configPath: "f.yml", storage: "/data", targets: 2, scmSizeBytes: 2 ** 28, nvmeSizeBytes: 2 ** 30 };
  expect(harness.formats).toEqual([
    { ...given, force: false },
    { ...given, force: true },
  ]);
});

test("storage set-faulty and replace need force, and say what they did", async () => {
  const harness = new Harness();
  expect((await harness.run(`storage set-faulty ${DEVICE}`)).status).toBe(1);
  const { value } = await harness.json(`storage set-faulty ${DEVICE} --force`);
  expect([value.state, value.successor]).toEqual(["faulty", null]);
  expect((await harness.run("storage query")).stdout).toContain("State        faulty: marked by the administrator\n");
  expect((await harness.run(`storage replace ${DEVICE} new`)).stderr).toContain("would be lost");
  expect((await harness.json(`storage replace ${DEVICE} new --force`)).value.successor).toBe("new");
  expect((await harness.run("storage query")).stdout).toContain("Replaced by  new at the next start\n");
  expect((await harness.run("storage replace nothing nothing")).status).toBe(1);
});
