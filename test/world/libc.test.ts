import { expect, test } from "bun:test";
import { libc } from "../../src/world/libc.ts";

/** Prints the nice values of a process's threads: before, then the one that gives way, then the others. */
const PROGRAM = `
  import { readdirSync, readFileSync } from "node:fs";
  import { libc } from ${JSON.stringify(new URL("../../src/world/libc.ts", import.meta.url).pathname)};
  const niceOf = (id) => readFileSync("/proc/self/task/" + id + "/stat", "latin1").split(") ").at(-1).split(" ")[16];
  const before = niceOf(String(process.pid));
  libc.giveWay(5);
  const others = readdirSync("/proc/self/task").filter((id) => id !== String(process.pid));
  console.log([before, ...[String(process.pid), ...others].map(niceOf)].join(" "));
`;

test.skipIf(libc === undefined)("giveWay lowers the priority of the calling thread and of no other", () => {
  const { stdout } = Bun.spawnSync([process.execPath, "-e", PROGRAM]);
  const [before, own, ...others] = stdout.toString().trim().split(" ");
  expect(own).toBe("5");
  expect(others.length).toBeGreaterThan(0);
  expect(others.every((nice) => nice === before)).toBe(true);
});
