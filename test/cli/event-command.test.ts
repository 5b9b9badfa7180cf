/** `daos system events` against a fake system. */
import { expect, test } from "bun:test";
import { DaosError } from "../../src/base/errors.ts";
import { Harness } from "./harness.ts";

test("system events prints a line for each, with what to do, as pages come", async () => {
  const harness = new Harness();
  harness.system.eventPage = 1;
  const { status, stdout } = await harness.run("system events");
  expect({ status, stdout }).toEqual({
    status: 0,
    stdout: [
      "2026-01-01T00:00:00.000Z  info   engine_joined: rank 1 has joined from 127.0.0.1:10101",
      "2026-01-01T00:00:05.000Z  warn   engine_suspect: rank 1 is suspect: it is not heard of",
      "    -> `daos system query` says how long it has. Look at its host and network.",
      "",
    ].join("\n"),
  });
  expect(harness.system.eventCalls).toEqual([{}, { after: 7 }]);
});

test("system events filters by severity and time, and names are made safe for the terminal", async () => {
  const harness = new Harness();
  harness.system.eventLog = [{ ...harness.system.eventLog[1]!, message: "\u001b[31mred" }];
  harness.time.advance(60_000);
  const { value } = await harness.json("system events --severity warn --since 60s");
  expect(value).toMatchObject([{ number: 8, severity: "warn", id: "engine_suspect", rank: 1, pool: null }]);
  expect(harness.system.eventCalls).toEqual([{ severity: "warn", sinceMs: Date.UTC(2026, 0, 1) }]);
  expect((await harness.run("system events --since 2026-01-01T00:00:05Z")).stdout).toContain("\\x1b[31mred");
});

test("system events refuses what is no time or severity", async () => {
  const harness = new Harness();
  for (const wrong of ["--since yesterday", "--since 5", "--severity bad"]) {
    expect((await harness.run(`system events ${wrong}`)).status).toBe(2);
  }
  expect(harness.system.eventCalls).toEqual([]);
});

/** Lets what waits for the fake system run, then the next timer. */
async function turn(harness: Harness): Promise<void> {
  for (let step = 0; step < 20; step += 1) await Promise.resolve();
  harness.time.advance(1_000);
  for (let step = 0; step < 20; step += 1) await Promise.resolve();
}

test("system events --follow goes on, bears that nobody leads for a while, and ends well when interrupted", async () => {
  const harness = new Harness();
  const running = harness.run("system events --follow --json");
  await turn(harness);
  const [first] = harness.system.eventLog;
  harness.system.eventLog.push({ ...first!, number: 9, id: "engine_left" });
  const events = harness.system.events.bind(harness.system);
  harness.system.events = () => {
    harness.system.events = events;
    return Promise.reject(new DaosError("UNAVAILABLE", "Cannot serve the request: no engine leads."));
  };
  await turn(harness);
  await turn(harness);
  harness.abort.abort();
  const { status, stdout, stderr } = await running;
  expect(status).toBe(0);
  const numbers = stdout
    .trim()
    .split("\n")
    .map((line) => (JSON.parse(line) as { number: number }).number);
  expect(numbers).toEqual([7, 8, 9]);
  expect(stderr).toContain("no engine leads");
});
