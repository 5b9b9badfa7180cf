// What ISA-L does in C on the same sizes as bench/isal.bench.ts and erasure.bench.ts: the limit that the addon is held against.
//   isal-reference crc32c SIZE_BYTES SECONDS
//   isal-reference encode SIZE_BYTES SECONDS [DATA_CELLS PARITY_CELLS STRIPES]   (4+2 cells, one stripe)
// Prints the rate, GB/s of data.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <isa-l/crc.h>
#include <isa-l/erasure_code.h>

namespace {

constexpr int kMostCells = 64;
constexpr int kWarmUpShare = 10;
constexpr double kCheckIntervalBytes = 4 << 20;

double SecondsNow() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Runs `operation` for so long; returns GB/s at `size_bytes` of data each.
template <typename Operation>
double Measure(double seconds, std::size_t size_bytes, Operation operation) {
  const auto batch = static_cast<std::size_t>(kCheckIntervalBytes / static_cast<double>(size_bytes)) + 1;
  const auto run = [&](double run_seconds) {
    const double start = SecondsNow();
    double bytes = 0;
    double now = start;
    for (; now - start < run_seconds; now = SecondsNow()) {
      for (std::size_t count = 0; count < batch; ++count) operation();
      bytes += static_cast<double>(batch * size_bytes);
    }
    return bytes / (now - start) / 1e9;
  };
  run(seconds / kWarmUpShare);
  return run(seconds);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 4 && count != 7) return 2;
  const auto size_bytes = static_cast<std::size_t>(std::atol(arguments[2]));
  const double seconds = std::atof(arguments[3]);
  const int data_cells = count == 7 ? std::atoi(arguments[4]) : 4;
  const int parity_cells = count == 7 ? std::atoi(arguments[5]) : 2;
  const int stripes = count == 7 ? std::atoi(arguments[6]) : 1;
  const int cell_count = data_cells + parity_cells;
  if (data_cells < 1 || parity_cells < 1 || stripes < 1 || cell_count > kMostCells) return 2;
  const std::size_t memory_bytes = static_cast<std::size_t>(stripes) * cell_count * size_bytes;
  const auto memory = static_cast<std::uint8_t*>(std::aligned_alloc(4096, memory_bytes));
  if (memory == nullptr) return 1;
  std::memset(memory, 0x5a, memory_bytes);
  double rate = 0;
  if (std::strcmp(arguments[1], "crc32c") == 0) {
    std::uint32_t state = 0;
    rate = Measure(seconds, size_bytes,
                   [&] { state = ~crc32_iscsi(memory, static_cast<int>(size_bytes), ~state); });
    if (state == 1) std::fputs("", stderr);
  } else {
    std::uint8_t matrix[kMostCells * kMostCells];
    std::uint8_t tables[32 * kMostCells * kMostCells];
    gf_gen_cauchy1_matrix(matrix, cell_count, data_cells);
    ec_init_tables(data_cells, parity_cells, matrix + data_cells * data_cells, tables);
    // All data, stripe by stripe, then all parity: as a write has them.
    std::uint8_t* const parity = memory + static_cast<std::size_t>(stripes) * data_cells * size_bytes;
    const auto encode = [&](std::size_t stripe) {
      std::uint8_t* cells[kMostCells];
      for (int index = 0; index < data_cells; ++index) cells[index] = memory + (stripe * data_cells + index) * size_bytes;
      for (int index = 0; index < parity_cells; ++index) {
        cells[data_cells + index] = parity + (stripe * parity_cells + index) * size_bytes;
      }
      ec_encode_data(static_cast<int>(size_bytes), data_cells, parity_cells, tables, cells, cells + data_cells);
    };
    rate = Measure(seconds, static_cast<std::size_t>(stripes) * data_cells * size_bytes, [&] {
      for (int stripe = 0; stripe < stripes; ++stripe) encode(static_cast<std::size_t>(stripe));
    });
  }
  std::printf("%.4f\n", rate);
  std::free(memory);
  return 0;
}
