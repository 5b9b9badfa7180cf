/** `daos object tx` against a fake system: scripts, what they print, and what is wrong with them. */
import { expect, test } from "bun:test";
import { objectClassByName } from "../../src/base/object-class.ts";
import { formatObjectId, objectId } from "../../src/base/object-id.ts";
import { type Harness, type Outcome, prepared } from "./harness.ts";

const OBJECT = formatObjectId(objectId("MULTI_HASHED", objectClassByName("S1"), 0, 7n));
const AT = { object: OBJECT, dkey: "d" };

async function runScript(harness: Harness, script: unknown): Promise<Outcome> {
  harness.stdin = Buffer.from(typeof script === "string" ? script : JSON.stringify(script));
  return harness.run("object tx tank bulk -f -");
}

test("the steps are done in order, and what they read is printed", async () => {
  const harness = await prepared();
  const outcome = await runScript(harness, {
    steps: [
      { do: "fetch", ...AT, akey: "a" },
      { do: "update", ...AT, akey: "a", text: "one\u001b" },
      { do: "update", ...AT, akey: { base64: "/w==" }, base64: "AP8=" },
      { do: "fetch", ...AT, akey: "a" },
      { do: "fetch", ...AT, akey: { base64: "/w==" } },
      { do: "write", ...AT, akey: "r", index: 0, text: "abc" },
      { do: "read", ...AT, akey: "r", index: 0, count: 3 },
      { do: "punch", ...AT, akey: "r" },
      { do: "list", ...AT },
    ],
  });
  expect(outcome.stderr).toBe("");
  expect(outcome.status).toBe(0);
  expect(outcome.stdout.split("\n")).toEqual([
    `${OBJECT} d a: not found`,
    expect.stringContaining(`${OBJECT} d a: one`),
    expect.stringContaining(`\\x00\\xff`),
    `${OBJECT} d r: abc`,
    expect.stringContaining(`${OBJECT} d: a`),
    "",
  ]);
  expect(outcome.stdout).not.toContain("\u001b");
});

test("a step that fails leaves nothing", async () => {
  const harness = await prepared();
  await runScript(harness, { steps: [{ do: "update", ...AT, akey: "a", text: "1" }] });
  const outcome = await runScript(harness, {
    steps: [
      { do: "update", ...AT, akey: "b", text: "2" },
      { do: "update", ...AT, akey: "a", text: "2", condition: "ifAbsent" },
    ],
  });
  expect(outcome.status).toBe(1);
  const seen = await runScript(harness, { steps: [{ do: "fetch", ...AT, akey: "b" }] });
  expect(seen.stdout).toBe(`${OBJECT} d b: not found\n`);
});

test("what is wrong with a script is named, before anything is sent", async () => {
  const harness = await prepared();
  const wrong: [unknown, string][] = [
    ["{", "it is no JSON"],
    [{ steps: [] }, "steps"],
    [{ steps: [{ do: "jump", ...AT }] }, "steps.0.do"],
    [
      {
        steps: [
          { do: "fetch", ...AT, akey: "a" },
          { do: "fetch", ...AT },
        ],
      },
      "steps.1.akey",
    ],
    [{ steps: [{ do: "fetch", ...AT, akey: "a", colour: 1 }] }, "colour"],
    [{ steps: [{ do: "fetch", object: "1.2.3", dkey: "d", akey: "a" }] }, "steps.0: "],
    [{ steps: [{ do: "update", ...AT, akey: "a" }] }, "give text or base64"],
    [{ steps: [{ do: "update", ...AT, akey: "a", base64: "*" }] }, "steps.0.base64"],
    [{ steps: [{ do: "read", ...AT, akey: "a", index: -1, count: 1 }] }, "steps.0.index"],
  ];
  for (const [script, message] of wrong) {
    const outcome = await runScript(harness, script);
    expect(outcome.stderr).toContain(message);
    expect(outcome.stderr).not.toContain("..");
    expect(outcome.status).toBe(2);
  }
  expect((await harness.run("object tx tank bulk -f none.json")).status).toBe(1);
  expect((await harness.run("object tx tank bulk")).status).toBe(2);
});
