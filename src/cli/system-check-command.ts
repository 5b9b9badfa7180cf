/** `daos system check`: goes through a check step by step, and tells what it finds as it finds it. */
import { checkPolicies } from "../format/check-classes.ts";
import type { CheckFinding, CheckReply } from "../format/check-operations.ts";
import { argumentError, checkedArgument, countArgument } from "./arguments.ts";
import { command } from "./command.ts";
import { EXIT_STATUS } from "./exit-status.ts";
import type { Session } from "./session.ts";
import { printable } from "./table.ts";

/** Per cent of the time. */
const DEFAULT_SHARE = 50;
/** Longest pause between two steps, milliseconds: some wait by themselves. */
const MAX_PAUSE_MS = 10_000;

export const systemCheck = command({
  summary: "Compare what the records say with what the targets hold, and repair it",
  examples: [
    "daos system check",
    "daos system check --repair --pool tank",
    "daos system check --repair --policy CONT_NONEXIST_ON_PS=DISCARD --json",
  ],
  arguments: {
    repair: { type: "boolean", description: "Repair what is found; what would lose data only as --policy says" },
    pool: { type: "string", valueHint: "POOL", description: "Only what is of this pool" },
    share: {
      type: "string",
      valueHint: "PERCENT",
      description: "Share of the time that is spent comparing, of the rest others have all of the targets; default 50",
    },
    policy: {
      type: "string",
      valueHint: "CLASS=ACTION,..",
      description: "What to do about a class of findings, instead of its default",
    },
  },
  async run({ repair, pool, policy, share: given }, session) {
    const share = given === undefined ? DEFAULT_SHARE : countArgument("--share", given, 1, 100);
    const { clock } = session.environment.world;
    const policies = policy === undefined ? {} : policiesArgument(policy);
    const system = await session.system();
    const { output } = session;
    const counts = { found: 0, repaired: 0, failed: 0, unjudged: 0 };
    const tell = async (finding: CheckFinding): Promise<void> => {
      counts[finding.outcome] += 1;
      await output.text(output.json ? `${JSON.stringify(findingJson(finding))}\n` : findingText(finding));
    };
    await session.withProgress({ label: "Checking", unit: "none" }, async (progress) => {
      let looked = 0;
      for (let after: string | undefined, isDone = false; !isDone;) {
        const args = { repair: repair === true, policies, ...(pool !== undefined && { pool }) };
        const startedNs = clock.monotonicNs();
        const reply: CheckReply = await system.check(
          { ...args, ...(after !== undefined && { after }) },
          session.cancelable,
        );
        for (const finding of reply.findings) await tell(finding);
        looked += reply.looked;
        counts.unjudged += reply.unjudged;
        progress.relabel(`Checking ${printable(reply.phase)}: ${looked} looked at`);
        after = reply.next;
        isDone = after === undefined;
        const tookMs = (clock.monotonicNs() - startedNs) / 1e6;
        const pauseMs = Math.min(MAX_PAUSE_MS, (tookMs * (100 - share)) / share);
        if (!isDone && pauseMs >= 1) await pause(session, pauseMs);
      }
    });
    const { found, repaired, failed, unjudged } = counts;
    const left = found + failed;
    const text = left + repaired === 0 ? "Nothing is wrong.\n" : `${left} finding(s) left, ${repaired} repaired.\n`;
    const note = unjudged === 0 ? "" : `${unjudged} dkey(s) were being changed or moved, and were not compared.\n`;
    await output.result({ summary: counts }, text + note);
    return left === 0 ? EXIT_STATUS.ok : EXIT_STATUS.findings;
  },
});

/** Ends early with Ctrl-C: the next step is refused then. */
function pause({ environment, signal }: Session, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const cancel = environment.world.timers.after(ms, resolve);
    signal.addEventListener("abort", () => (cancel(), resolve()), { once: true });
  });
}

function policiesArgument(text: string): Readonly<Record<string, string>> {
  const policies = new Map<string, string>();
  for (const part of text.split(",")) {
    const [name = "", action, ...rest] = part.trim().split("=");
    if (action === undefined || rest.length > 0) throw argumentError("--policy", part, "write CLASS=ACTION");
    if (policies.has(name)) throw argumentError("--policy", name, "it is given twice");
    policies.set(name, action);
  }
  return checkedArgument(() => checkPolicies(Object.fromEntries(policies))) as Readonly<Record<string, string>>;
}

/** docs/cli.md promises these names. */
function findingJson({ class: name, place, state, action, outcome, reason, advice }: CheckFinding): object {
  return { class: name, place, state, action, outcome, reason: reason ?? null, advice: advice ?? null };
}

function findingText({ class: name, place, state, action, outcome, reason, advice }: CheckFinding): string {
  const done = outcome === "repaired" ? `repaired (${action})` : outcome === "failed" ? `${action} failed` : "found";
  const lines = [`${name} ${printable(place)}: ${printable(state)}: ${done}`];
  if (outcome === "found" && action !== "IGNORE") lines.push(`    --repair: ${action}`);
  if (reason !== undefined) lines.push(`    ${printable(reason)}`);
  if (outcome !== "repaired" && advice !== undefined) lines.push(`    ${advice}`);
  return `${lines.join("\n")}\n`;
}
