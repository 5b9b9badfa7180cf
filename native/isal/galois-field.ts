/**
 * Arithmetic of GF(2^8) with polynomial 0x11d (x^8 + x^4 + x^3 + x^2 + 1) and generator 2, by logarithms. Addition is
 * exclusive or. Elements are numbers from 0 to 255.
 */
const POLYNOMIAL = 0x11d;
const ORDER = 255;

/** Powers of the generator, twice over: the sum of two logarithms needs no remainder. */
const POWERS = new Uint8Array(2 * ORDER);
const LOGARITHMS = new Uint8Array(256);

for (let exponent = 0, power = 1; exponent < ORDER; exponent += 1) {
  POWERS[exponent] = power;
  POWERS[exponent + ORDER] = power;
  LOGARITHMS[power] = exponent;
  power <<= 1;
  if (power > 255) power ^= POLYNOMIAL;
}

export function multiply(left: number, right: number): number {
  if (left === 0 || right === 0) return 0;
  return POWERS[LOGARITHMS[left]! + LOGARITHMS[right]!]!;
}

/** The element whose product with `element`, which is not 0, is 1. */
export function inverse(element: number): number {
  return POWERS[ORDER - LOGARITHMS[element]!]!;
}
