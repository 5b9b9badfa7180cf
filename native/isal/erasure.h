// Reed-Solomon code over GF(2^8), polynomial 0x11d, with the Cauchy matrix of ISA-L's gf_gen_cauchy1_matrix: any k of the
// k + m cells give back the rest. Keeps no state: multiplication tables are bytes that the caller holds, made once for an
// encoding or for a set of lost cells, and applied many times. Arguments are the caller's to check (binding.cc does).
#pragma once

#include <cstddef>
#include <cstdint>

namespace isal {

// Cells of one code at most, data and parity together.
constexpr int kMostCells = 255;
// Bytes of tables for each coefficient.
constexpr std::size_t kTableBytesOfCoefficient = 32;

// Bytes of the tables that turn `inputs` cells into `outputs` cells.
constexpr std::size_t TableBytes(int inputs, int outputs) {
  return kTableBytesOfCoefficient * static_cast<std::size_t>(inputs) * static_cast<std::size_t>(outputs);
}

// Tables that make all `parity_cells` out of all `data_cells`. Writes TableBytes(data_cells, parity_cells).
void MakeEncodeTables(int data_cells, int parity_cells, std::uint8_t* tables);

// Tables that make the `lost_count` cells `lost` out of the `data_cells` cells `survivors`; a cell's index counts data
// first, then parity. Writes TableBytes(data_cells, lost_count). False when the survivors do not determine the rest, which
// distinct indices below data_cells + parity_cells always do.
bool MakeDecodeTables(int data_cells, int parity_cells, const std::uint8_t* survivors, const std::uint8_t* lost,
                      int lost_count, std::uint8_t* tables);

// Writes `size_bytes` of each output; inputs are only read. Outputs lie apart from one another and from the inputs.
void ApplyTables(const std::uint8_t* tables, std::size_t size_bytes, int input_count, const std::uint8_t* const* inputs,
                 int output_count, std::uint8_t* const* outputs);

}  // namespace isal
