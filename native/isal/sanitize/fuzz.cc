// Checksums and erasure code at random lengths, offsets and shapes, built with AddressSanitizer and
// UndefinedBehaviorSanitizer. ISA-L's assembly is not instrumented, so every buffer ends (or begins) at a page that may not
// be touched: a read or write one byte out of bounds stops the run. Results are compared with bit-by-bit arithmetic.
// Argument: seconds to run (default 2). The seed of a failure is printed.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "../checksum.h"
#include "../erasure.h"

namespace {

constexpr int kDefaultSeconds = 2;
constexpr std::size_t kMostBytes = 20'000;

// Bytes between two pages that may not be touched, against the one behind or the one before.
class GuardedBytes {
 public:
  GuardedBytes(std::size_t size_bytes, bool at_end) : size_bytes_(size_bytes) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t inner = (size_bytes + page - 1) / page * page;
    mapped_bytes_ = inner + 2 * page;
    mapping_ = static_cast<std::uint8_t*>(
        mmap(nullptr, mapped_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (mapping_ == MAP_FAILED || mprotect(mapping_ + page, inner, PROT_READ | PROT_WRITE) != 0) std::abort();
    address_ = mapping_ + page + (at_end ? inner - size_bytes : 0);
  }
  ~GuardedBytes() { munmap(mapping_, mapped_bytes_); }
  GuardedBytes(const GuardedBytes&) = delete;
  GuardedBytes& operator=(const GuardedBytes&) = delete;

  std::uint8_t* address() const { return address_; }
  std::size_t size_bytes() const { return size_bytes_; }

 private:
  std::size_t size_bytes_;
  std::size_t mapped_bytes_ = 0;
  std::uint8_t* mapping_ = nullptr;
  std::uint8_t* address_ = nullptr;
};

using Random = std::mt19937;
using CellList = std::vector<std::unique_ptr<GuardedBytes>>;

int Between(Random& random, int least, int most) { return std::uniform_int_distribution<int>(least, most)(random); }

std::unique_ptr<GuardedBytes> MakeBytes(Random& random, std::size_t size_bytes) {
  auto bytes = std::make_unique<GuardedBytes>(size_bytes, Between(random, 0, 1) == 1);
  for (std::size_t index = 0; index < size_bytes; ++index) {
    bytes->address()[index] = static_cast<std::uint8_t>(random());
  }
  return bytes;
}

std::uint32_t SlowCrc32c(const std::uint8_t* bytes, std::size_t size_bytes, std::uint32_t seed) {
  std::uint32_t state = ~seed;
  for (std::size_t index = 0; index < size_bytes; ++index) {
    state ^= bytes[index];
    for (int bit = 0; bit < 8; ++bit) state = (state >> 1) ^ ((state & 1) != 0 ? 0x82f63b78u : 0u);
  }
  return ~state;
}

std::uint8_t SlowProduct(std::uint8_t left, std::uint8_t right) {
  unsigned product = 0;
  unsigned shifted = left;
  for (int bit = 0; bit < 8; ++bit) {
    if ((right >> bit & 1) != 0) product ^= shifted;
    shifted <<= 1;
    if ((shifted & 0x100) != 0) shifted ^= 0x11d;
  }
  return static_cast<std::uint8_t>(product);
}

std::uint8_t SlowInverse(std::uint8_t element) {
  for (int other = 1; other < 256; ++other) {
    if (SlowProduct(element, static_cast<std::uint8_t>(other)) == 1) return static_cast<std::uint8_t>(other);
  }
  return 0;
}

bool Fail(const char* what, unsigned seed) {
  std::fprintf(stderr, "FAILED: %s, seed %u\n", what, seed);
  return false;
}

bool CheckChecksum(Random& random, unsigned seed) {
  const auto bytes = MakeBytes(random, static_cast<std::size_t>(Between(random, 0, kMostBytes)));
  const std::uint32_t start = random();
  const std::uint32_t expected = SlowCrc32c(bytes->address(), bytes->size_bytes(), start);
  if (isal::Crc32c(bytes->address(), bytes->size_bytes(), start) != expected) return Fail("crc32c", seed);
  const auto half = static_cast<std::size_t>(Between(random, 0, static_cast<int>(bytes->size_bytes())));
  const std::uint32_t first = isal::Crc32c(bytes->address(), half, start);
  if (isal::Crc32c(bytes->address() + half, bytes->size_bytes() - half, first) != expected) {
    return Fail("crc32c in two parts", seed);
  }
  return true;
}

std::vector<const std::uint8_t*> AddressesOf(const CellList& cells, const std::vector<std::uint8_t>& indices) {
  std::vector<const std::uint8_t*> addresses;
  for (const std::uint8_t index : indices) addresses.push_back(cells[index]->address());
  return addresses;
}

// One parity byte at a place, worked out slowly.
bool ParityIsRight(Random& random, const CellList& cells, int data_cells, std::size_t size_bytes) {
  const int parity = Between(random, data_cells, static_cast<int>(cells.size()) - 1);
  const auto place = static_cast<std::size_t>(Between(random, 0, static_cast<int>(size_bytes) - 1));
  std::uint8_t sum = 0;
  for (int index = 0; index < data_cells; ++index) {
    sum ^= SlowProduct(SlowInverse(static_cast<std::uint8_t>(parity ^ index)),
                       cells[static_cast<std::size_t>(index)]->address()[place]);
  }
  return cells[static_cast<std::size_t>(parity)]->address()[place] == sum;
}

bool CheckErasure(Random& random, unsigned seed) {
  const int data_cells = Between(random, 1, 24);
  const int parity_cells = Between(random, 1, 10);
  const auto size_bytes = static_cast<std::size_t>(Between(random, 1, Between(random, 1, kMostBytes)));
  CellList cells;
  std::vector<std::uint8_t*> parity;
  for (int index = 0; index < data_cells + parity_cells; ++index) {
    cells.push_back(MakeBytes(random, size_bytes));
    if (index >= data_cells) parity.push_back(cells.back()->address());
  }
  std::vector<std::uint8_t> order(cells.size());
  std::iota(order.begin(), order.end(), std::uint8_t{0});

  const auto tables = MakeBytes(random, isal::TableBytes(data_cells, parity_cells));
  isal::MakeEncodeTables(data_cells, parity_cells, tables->address());
  isal::ApplyTables(tables->address(), size_bytes, data_cells, AddressesOf(cells, order).data(), parity_cells,
                    parity.data());
  if (!ParityIsRight(random, cells, data_cells, size_bytes)) return Fail("parity", seed);

  std::shuffle(order.begin(), order.end(), random);
  const int lost_count = Between(random, 1, parity_cells);
  const std::vector<std::uint8_t> lost(order.end() - lost_count, order.end());
  order.resize(static_cast<std::size_t>(data_cells));
  const auto decode = MakeBytes(random, isal::TableBytes(data_cells, lost_count));
  if (!isal::MakeDecodeTables(data_cells, parity_cells, order.data(), lost.data(), lost_count, decode->address())) {
    return Fail("survivors do not determine the rest", seed);
  }
  CellList outputs;
  std::vector<std::uint8_t*> addresses;
  for (int index = 0; index < lost_count; ++index) {
    outputs.push_back(MakeBytes(random, size_bytes));
    addresses.push_back(outputs.back()->address());
  }
  isal::ApplyTables(decode->address(), size_bytes, data_cells, AddressesOf(cells, order).data(), lost_count,
                    addresses.data());
  for (std::size_t index = 0; index < lost.size(); ++index) {
    if (!std::equal(addresses[index], addresses[index] + size_bytes, cells[lost[index]]->address())) {
      return Fail("reconstructed cell", seed);
    }
  }
  return true;
}

}  // namespace

int main(int count, char** arguments) {
  const int seconds = count > 1 ? std::atoi(arguments[1]) : kDefaultSeconds;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  unsigned seed = 1;
  for (; std::chrono::steady_clock::now() < end; ++seed) {
    Random random(seed);
    if (!CheckChecksum(random, seed) || !CheckErasure(random, seed)) return 1;
  }
  std::printf("%u rounds of checksums and erasure codes\n", seed - 1);
  return 0;
}
