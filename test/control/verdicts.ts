/** Verdicts that a test sets. */
import type { Verdict, Verdicts } from "../../src/control/verdicts.ts";
import type { EngineRoster } from "../../src/format/engine-operations.ts";

export class GivenVerdicts implements Verdicts {
  readonly given = new Map<number, Verdict>();
  readonly rosters: EngineRoster[] = [];
  isAlone = false;

  of(rank: number): Verdict | undefined {
    return this.given.get(rank);
  }

  adopt(roster: EngineRoster): void {
    this.rosters.push(roster);
  }
}
