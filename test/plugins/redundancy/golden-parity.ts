/**
 * The first parity bytes of a stripe whose cell i has bytes (37 i + 11 j + 5) mod 256, by class: computed in C with ISA-L
 * (gf_gen_cauchy1_matrix, ec_init_tables, ec_encode_data).
 */
export const GOLDEN_PARITY: Readonly<Record<string, readonly string[]>> = {
  EC_2P1: ["611b482aa4ca8904"],
  EC_2P2: ["611b482aa4ca8904", "166f2942cfaa0b70"],
  EC_4P1: ["b84d6d2bb562d3ff"],
  EC_4P2: ["b84d6d2bb562d3ff", "8a99c8d08dfeb396"],
  EC_4P3: ["b84d6d2bb562d3ff", "8a99c8d08dfeb396", "b4f80ef7f0e590b6"],
  EC_8P1: ["2c84e6d9d3b1ace4"],
  EC_8P2: ["2c84e6d9d3b1ace4", "c855ab89fe0f8bc0"],
  EC_8P3: ["2c84e6d9d3b1ace4", "c855ab89fe0f8bc0", "c69d7ee906b95d8c"],
  EC_16P1: ["5679bc9d5361f924"],
  EC_16P2: ["5679bc9d5361f924", "119167f5b8d3fd6f"],
  EC_16P3: ["5679bc9d5361f924", "119167f5b8d3fd6f", "cc984695bfc061da"],
};

export function goldenStripe(dataShards: number, cellBytes: number): Uint8Array {
  return Uint8Array.from({ length: dataShards * cellBytes }, (_, index) => {
    return 37 * Math.floor(index / cellBytes) + 11 * (index % cellBytes) + 5;
  });
}
