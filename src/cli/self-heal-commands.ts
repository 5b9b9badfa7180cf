/** `daos system self-heal ...`: what the system does by itself when engines fail. */
import { ALL_SELF_HEAL, checkSelfHealFlags, SELF_HEAL_FLAGS } from "../base/self-heal.ts";
import { checkedArgument } from "./arguments.ts";
import { command, commandGroup } from "./command.ts";
import { outcomeJson, outcomesText, statusOf } from "./system-rank-commands.ts";
import { formatTable } from "./table.ts";

const COLUMNS = [{ title: "Flag" }, { title: "State" }, { title: "Meaning" }] as const;

function flagsText(flags: readonly string[]): string {
  const rows = ALL_SELF_HEAL.map((flag) => [flag, flags.includes(flag) ? "on" : "off", SELF_HEAL_FLAGS[flag]]);
  return formatTable(COLUMNS, rows);
}

const get = command({
  summary: "Show what the system does by itself",
  examples: ["daos system self-heal get", "daos system self-heal get --json"],
  arguments: {},
  async run(_values, session) {
    const flags = await (await session.system()).selfHeal(session.cancelable);
    await session.output.result({ flags }, flagsText(flags));
  },
});

const set = command({
  summary: "Say what the system is to do by itself, from now on",
  examples: [
    "daos system self-heal set exclude,pool_exclude,pool_rebuild",
    "daos system self-heal set exclude,pool_exclude",
    "daos system self-heal set none",
  ],
  arguments: {
    flags: {
      type: "positional",
      required: true,
      description: `Those that are on, with commas: ${ALL_SELF_HEAL.join(", ")}; or none`,
    },
  },
  async run({ flags: text }, session) {
    const wanted = checkedArgument(() => checkSelfHealFlags(text.split(",").map((flag) => flag.trim())));
    const flags = await (await session.system()).setSelfHeal(wanted, session.cancelable);
    await session.output.result({ flags }, flagsText(flags));
  },
});

const evaluate = command({
  summary: "Do now what was not done while flags were off",
  examples: ["daos system self-heal eval"],
  arguments: {},
  async run(_values, session) {
    const { excluded, pools } = await (await session.system()).evalSelfHeal(session.cancelable);
    const ranks = excluded.length === 0 ? "No engine is excluded.\n" : `Excluded ranks: ${excluded.join(", ")}\n`;
    const changes = pools.length === 0 ? "No pool had to be changed.\n" : `\n${outcomesText(pools)}`;
    await session.output.result({ excluded, pools: pools.map(outcomeJson) }, `${ranks}${changes}`);
    return statusOf(pools);
  },
});

export const SELF_HEAL_COMMANDS = commandGroup("What the system does by itself when engines fail", {
  get,
  set,
  eval: evaluate,
});
