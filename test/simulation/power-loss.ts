/**
 * The simulated machine is without power. Not a DaosError: the program under test must not handle it.
 */
export class PowerLossError extends Error {
  override readonly name = "PowerLossError";
}
