// What ISA-L does in C on the same sizes as bench/isal.bench.ts: the limit that the addon is held against.
//   isal-reference crc32c SIZE_BYTES SECONDS          isal-reference encode SIZE_BYTES SECONDS   (4+2 cells)
// Prints the rate, GB/s of data.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <isa-l/crc.h>
#include <isa-l/erasure_code.h>

namespace {

constexpr int kDataCells = 4;
constexpr int kParityCells = 2;
constexpr int kCells = kDataCells + kParityCells;
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
  if (count != 4) return 2;
  const auto size_bytes = static_cast<std::size_t>(std::atol(arguments[2]));
  const double seconds = std::atof(arguments[3]);
  const auto memory = static_cast<std::uint8_t*>(std::aligned_alloc(4096, kCells * size_bytes));
  if (memory == nullptr) return 1;
  std::memset(memory, 0x5a, kCells * size_bytes);
  double rate = 0;
  if (std::strcmp(arguments[1], "crc32c") == 0) {
    std::uint32_t state = 0;
    rate = Measure(seconds, size_bytes,
                   [&] { state = ~crc32_iscsi(memory, static_cast<int>(size_bytes), ~state); });
    if (state == 1) std::fputs("", stderr);
  } else {
    std::uint8_t matrix[kCells * kDataCells];
    std::uint8_t tables[32 * kDataCells * kParityCells];
    std::uint8_t* cells[kCells];
    for (int index = 0; index < kCells; ++index) cells[index] = memory + static_cast<std::size_t>(index) * size_bytes;
    gf_gen_cauchy1_matrix(matrix, kCells, kDataCells);
    ec_init_tables(kDataCells, kParityCells, matrix + kDataCells * kDataCells, tables);
    rate = Measure(seconds, kDataCells * size_bytes, [&] {
      ec_encode_data(static_cast<int>(size_bytes), kDataCells, kParityCells, tables, cells, cells + kDataCells);
    });
  }
  std::printf("%.4f\n", rate);
  std::free(memory);
  return 0;
}
