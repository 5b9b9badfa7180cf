/**
 * The script of `daos object tx`: a JSON document with the steps of one transaction, checked before anything is sent. What
 * is wrong is named with the step. docs/cli.md describes it.
 */
import { z } from "zod";
import { DaosError } from "../base/errors.ts";
import type { ObjectId } from "../base/object-id.ts";
import { checkedArgument } from "./arguments.ts";
import { dkeyArgument, keyArgument } from "./key-text.ts";
import { classedIdArgument } from "./object-identity.ts";

const base64 = z.base64().transform((text) => new Uint8Array(Buffer.from(text, "base64")));
const key = z.union([z.string(), z.strictObject({ base64 })]);
const at = { object: z.string(), dkey: key };
const bytes = { text: z.string().optional(), base64: base64.optional() };
const range = { index: z.int().nonnegative(), recordBytes: z.int().positive().default(1) };
const count = z.int().positive();
const condition = z.enum(["ifExists", "ifAbsent"]).optional();

const step = z.discriminatedUnion("do", [
  z.strictObject({ do: z.literal("fetch"), ...at, akey: key }),
  z.strictObject({ do: z.literal("update"), ...at, akey: key, ...bytes, condition }),
  z.strictObject({ do: z.literal("read"), ...at, akey: key, ...range, count }),
  z.strictObject({ do: z.literal("write"), ...at, akey: key, ...range, ...bytes }),
  z.strictObject({ do: z.literal("list"), ...at }),
  z.strictObject({ do: z.literal("punch"), ...at, akey: key.optional() }),
  z.strictObject({ do: z.literal("punchRecords"), ...at, akey: key, ...range, count }),
]);
const script = z.strictObject({ steps: z.array(step).min(1) });

interface Place {
  readonly oid: ObjectId;
  readonly dkey: Uint8Array;
}

interface AkeyPlace extends Place {
  readonly akey: Uint8Array;
}

interface Records {
  readonly recordIndex: number;
  readonly recordBytes: number;
}

/** A step with its keys and bytes as they are sent. */
export type ScriptStep =
  | ({ readonly do: "fetch" } & AkeyPlace)
  | ({
      readonly do: "update";
      readonly value: Uint8Array;
      readonly condition?: "ifExists" | "ifAbsent" | undefined;
    } & AkeyPlace)
  | ({ readonly do: "read" | "punchRecords"; readonly recordCount: number } & AkeyPlace & Records)
  | ({ readonly do: "write"; readonly value: Uint8Array } & AkeyPlace & Records)
  | ({ readonly do: "list" | "punchDkey" } & Place)
  | ({ readonly do: "punchAkey" } & AkeyPlace);

/** The steps of a script. Throws CONFIGURATION. */
export function parseTransactionScript(name: string, text: string): ScriptStep[] {
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch (error) {
    throw wrong(name, `it is no JSON (${error instanceof Error ? error.message : String(error)})`);
  }
  const parsed = script.safeParse(raw);
  if (!parsed.success) throw wrong(name, issueText(parsed.error));
  return parsed.data.steps.map((each, index) => {
    try {
      return checkedArgument(() => sendable(each));
    } catch (error) {
      if (error instanceof DaosError) throw wrong(name, `steps.${index}: ${error.message}`);
      throw error;
    }
  });
}

function sendable(each: z.infer<typeof step>): ScriptStep {
  const oid = classedIdArgument(each.object);
  const dkey = typeof each.dkey === "string" ? dkeyArgument(oid, each.dkey, undefined) : each.dkey.base64;
  const place = { oid, dkey };
  switch (each.do) {
    case "list":
      return { do: each.do, ...place };
    case "punch":
      if (each.akey === undefined) return { do: "punchDkey", ...place };
      return { do: "punchAkey", ...place, akey: akeyOf(each.akey) };
    case "fetch":
      return { do: each.do, ...place, akey: akeyOf(each.akey) };
    case "update":
      return { do: each.do, ...place, akey: akeyOf(each.akey), value: valueOf(each), condition: each.condition };
    case "write": {
      const { index: recordIndex, recordBytes } = each;
      return { do: each.do, ...place, akey: akeyOf(each.akey), recordIndex, recordBytes, value: valueOf(each) };
    }
    case "read":
    case "punchRecords": {
      const { index: recordIndex, recordBytes, count: recordCount } = each;
      return { do: each.do, ...place, akey: akeyOf(each.akey), recordIndex, recordBytes, recordCount };
    }
    default:
      return each satisfies never;
  }
}

function akeyOf(akey: z.infer<typeof key>): Uint8Array {
  return typeof akey === "string" ? keyArgument("AKEY", akey, undefined) : akey.base64;
}

function valueOf({ text, base64: raw }: { text?: string | undefined; base64?: Uint8Array | undefined }): Uint8Array {
  if ((text === undefined) === (raw === undefined)) {
    throw new DaosError("INVALID_ARGUMENT", "Cannot use the value: give text or base64, one of the two.");
  }
  return raw ?? Buffer.from(text!, "utf8");
}

function issueText({ issues }: z.ZodError): string {
  const [issue] = issues;
  const place = issue?.path.map(String).join(".") ?? "";
  return `${place === "" ? "" : `${place}: `}${issue?.message ?? "it does not fit"}`;
}

function wrong(name: string, state: string): DaosError {
  const advice = "`daos object tx --help` shows an example";
  const stop = state.endsWith(".") ? "" : ".";
  return new DaosError("CONFIGURATION", `Cannot use the script "${name}": ${state}${stop} ${advice}.`);
}
