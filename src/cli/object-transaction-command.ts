/** `daos object tx`: the steps of a script as one transaction, run again after conflicts. */
import { DaosError } from "../base/errors.ts";
import { formatObjectId } from "../base/object-id.ts";
import type { TransactionAccess } from "./client-access.ts";
import { command } from "./command.ts";
import { CONTAINER_ARGUMENT, POOL_ARGUMENT } from "./container-arguments.ts";
import { dkeyText, keyText, shownKey } from "./key-text.ts";
import { printable } from "./table.ts";
import { parseTransactionScript, type ScriptStep } from "./transaction-script.ts";
import { readWhole } from "./transfer.ts";

/** Largest script, bytes. */
const MAX_SCRIPT_BYTES = 16 * 1024 * 1024;

/** What a step that reads has seen. */
interface StepResult {
  readonly step: number;
  readonly do: string;
  readonly object: string;
  readonly dkey: string;
  readonly dkeyEncoding: string;
  readonly akey?: string;
  readonly akeyEncoding?: string;
  readonly found?: boolean;
  readonly value?: string;
  readonly valueEncoding?: string;
  readonly akeys?: readonly { readonly akey: string; readonly akeyEncoding: string }[];
}

export const runTransaction = command({
  summary: "Run the steps of a script as one transaction",
  examples: [
    "daos object tx tank bulk -f transfer.json",
    `echo '{"steps":[{"do":"update","object":"1000100000000.7","dkey":"a","akey":"n","text":"1"}]}' | daos object tx tank bulk -f -`,
  ],
  arguments: {
    pool: POOL_ARGUMENT,
    container: CONTAINER_ARGUMENT,
    file: {
      type: "string",
      alias: "f",
      required: true,
      valueHint: "FILE",
      description: "The script; - is standard input",
    },
  },
  async run(values, session) {
    const { signal } = session;
    const name = values.file === "-" ? "standard input" : printable(values.file);
    const bytes = await readWhole(session, values.file, MAX_SCRIPT_BYTES);
    if (bytes === undefined) throw tooLarge(name);
    const steps = parseTransactionScript(name, Buffer.from(bytes).toString("utf8"));
    const container = await session.openContainer(values.pool, values.container, { readOnly: false });
    const results = await container.runTransaction(
      async (transaction) => {
        const seen: StepResult[] = [];
        for (const [index, step] of steps.entries()) {
          const result = await take(transaction, step, index);
          if (result !== undefined) seen.push(result);
        }
        return seen;
      },
      { signal },
    );
    await session.output.result({ committed: true, results }, results.map(lineOf).join(""));
  },
});

async function take(transaction: TransactionAccess, step: ScriptStep, index: number): Promise<StepResult | undefined> {
  const object = transaction.object(step.oid);
  switch (step.do) {
    case "fetch": {
      const found = await object.fetch(step.dkey, step.akey);
      return { ...named(step, index), found: found !== undefined, ...(found !== undefined && shown(found.value)) };
    }
    case "read":
      return { ...named(step, index), ...shown(await object.readArray(step.dkey, step.akey, step)) };
    case "list": {
      const akeys = await object.listAkeys(step.dkey);
      return { ...named(step, index), akeys: akeys.map((akey) => encoded("akey", keyText(akey))) };
    }
    case "update":
      await object.update(step.dkey, step.akey, step.value, { condition: step.condition });
      return undefined;
    case "write":
      await object.writeArray(step.dkey, step.akey, step, step.value);
      return undefined;
    case "punchRecords":
      await object.punchArray(step.dkey, step.akey, step);
      return undefined;
    case "punchAkey":
      await object.punchAkey(step.dkey, step.akey);
      return undefined;
    case "punchDkey":
      await object.punchDkey(step.dkey);
      return undefined;
    default:
      return step satisfies never;
  }
}

function named(step: ScriptStep, index: number): StepResult {
  const place = encoded("dkey", dkeyText(step.oid, step.dkey));
  const akey = "akey" in step ? encoded("akey", keyText(step.akey)) : {};
  return { step: index, do: step.do, object: formatObjectId(step.oid), ...place, ...akey };
}

function encoded<Name extends string>(
  name: Name,
  { text, encoding }: { readonly text: string; readonly encoding: string },
): { readonly [Key in Name | `${Name}Encoding`]: string } {
  return { [name]: text, [`${name}Encoding`]: encoding } as { [Key in Name | `${Name}Encoding`]: string };
}

function shown(value: Uint8Array): { readonly value: string; readonly valueEncoding: string } {
  return encoded("value", keyText(value));
}

function lineOf(result: StepResult): string {
  const { object, dkey, akey, found, value, valueEncoding, akeys } = result;
  const place = [object, printable(dkey), ...(akey === undefined ? [] : [printable(akey)])].join(" ");
  if (akeys !== undefined) return `${place}: ${akeys.map((each) => printable(each.akey)).join(" ")}\n`;
  if (found === false || value === undefined) return `${place}: not found\n`;
  const text = valueEncoding === "utf8" ? printable(value) : shownKey({ text: value, encoding: "base64" });
  return `${place}: ${text}\n`;
}

function tooLarge(name: string): DaosError {
  const state = `it has more than ${MAX_SCRIPT_BYTES} bytes`;
  return new DaosError("CONFIGURATION", `Cannot use the script "${name}": ${state}. Run several transactions.`);
}
