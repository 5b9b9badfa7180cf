/**
 * What an addon's leak-check.ts exports as `leakCheck`: operations that leave nothing behind, however often they run.
 * `npm run test:leaks` (scripts/leaks.ts) finds it by its name and does the counting.
 */
export interface LeakCheck {
  /** Opens what the operations need. A reason, one sentence, when the addon or its device is absent. */
  start(): Promise<LeakRun | LeakAbsence> | LeakRun | LeakAbsence;
}

export interface LeakRun {
  /** By name. Each call is one operation; one that gives a promise is awaited before the next. */
  readonly operations: Readonly<Record<string, () => unknown>>;
  /** Closes what start opened. */
  stop?(): Promise<void> | void;
}

export interface LeakAbsence {
  readonly reason: string;
}
