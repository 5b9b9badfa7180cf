// Reed-Solomon tables and their application by ISA-L; matrices here have one row a cell and one column a data cell.
#include "erasure.h"

#include <algorithm>
#include <array>
#include <vector>

#include <isa-l/erasure_code.h>

namespace isal {

namespace {

// ec_encode_data takes an int: what one call is given at most. A multiple of every vector width.
constexpr std::size_t kMostBytesOfOneCall = std::size_t{1} << 30;

// Identity on top, Cauchy rows below: (data_cells + parity_cells) x data_cells.
std::vector<std::uint8_t> GeneratorMatrix(int data_cells, int parity_cells) {
  const int cells = data_cells + parity_cells;
  std::vector<std::uint8_t> matrix(static_cast<std::size_t>(cells) * static_cast<std::size_t>(data_cells));
  gf_gen_cauchy1_matrix(matrix.data(), cells, data_cells);
  return matrix;
}

// row x matrix, both over data_cells columns.
void MultiplyRow(const std::uint8_t* row, const std::vector<std::uint8_t>& matrix, int data_cells,
                 std::uint8_t* product) {
  for (int column = 0; column < data_cells; ++column) {
    std::uint8_t sum = 0;
    for (int index = 0; index < data_cells; ++index) {
      sum ^= gf_mul(row[index], matrix[static_cast<std::size_t>(index * data_cells + column)]);
    }
    product[column] = sum;
  }
}

}  // namespace

void MakeEncodeTables(int data_cells, int parity_cells, std::uint8_t* tables) {
  std::vector<std::uint8_t> matrix = GeneratorMatrix(data_cells, parity_cells);
  ec_init_tables(data_cells, parity_cells, matrix.data() + data_cells * data_cells, tables);
}

bool MakeDecodeTables(int data_cells, int parity_cells, const std::uint8_t* survivors, const std::uint8_t* lost,
                      int lost_count, std::uint8_t* tables) {
  const std::vector<std::uint8_t> matrix = GeneratorMatrix(data_cells, parity_cells);
  std::vector<std::uint8_t> surviving(static_cast<std::size_t>(data_cells) * static_cast<std::size_t>(data_cells));
  for (int row = 0; row < data_cells; ++row) {
    std::copy_n(matrix.data() + survivors[row] * data_cells, data_cells, surviving.data() + row * data_cells);
  }
  std::vector<std::uint8_t> inverse(surviving.size());
  if (gf_invert_matrix(surviving.data(), inverse.data(), data_cells) != 0) return false;
  std::vector<std::uint8_t> rows(static_cast<std::size_t>(lost_count) * static_cast<std::size_t>(data_cells));
  for (int row = 0; row < lost_count; ++row) {
    MultiplyRow(matrix.data() + lost[row] * data_cells, inverse, data_cells, rows.data() + row * data_cells);
  }
  ec_init_tables(data_cells, lost_count, rows.data(), tables);
  return true;
}

void ApplyTables(const std::uint8_t* tables, std::size_t size_bytes, int input_count, const std::uint8_t* const* inputs,
                 int output_count, std::uint8_t* const* outputs) {
  // ISA-L's prototypes lack const; tables and inputs are only read.
  std::array<unsigned char*, kMostCells> sources;
  std::array<unsigned char*, kMostCells> targets;
  for (std::size_t offset = 0; offset < size_bytes; offset += kMostBytesOfOneCall) {
    const std::size_t part = std::min(size_bytes - offset, kMostBytesOfOneCall);
    for (int index = 0; index < input_count; ++index) {
      sources[static_cast<std::size_t>(index)] = const_cast<unsigned char*>(inputs[index]) + offset;
    }
    for (int index = 0; index < output_count; ++index) {
      targets[static_cast<std::size_t>(index)] = outputs[index] + offset;
    }
    ec_encode_data(static_cast<int>(part), input_count, output_count, const_cast<unsigned char*>(tables),
                   sources.data(), targets.data());
  }
}

}  // namespace isal
