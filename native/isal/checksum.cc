// CRC32C by ISA-L's crc32_iscsi, which neither inverts at the start nor at the end and counts bytes in an int: both are
// made up for here.
#include "checksum.h"

#include <algorithm>

#include <isa-l/crc.h>

namespace isal {

namespace {
// crc32_iscsi takes an int: what one call is given at most.
constexpr std::size_t kMostBytesOfOneCall = std::size_t{1} << 30;
}  // namespace

std::uint32_t Crc32c(const std::uint8_t* bytes, std::size_t size_bytes, std::uint32_t seed) {
  std::uint32_t state = ~seed;
  while (size_bytes > 0) {
    const std::size_t part = std::min(size_bytes, kMostBytesOfOneCall);
    // The prototype lacks const; the function only reads.
    state = crc32_iscsi(const_cast<unsigned char*>(bytes), static_cast<int>(part), state);
    bytes += part;
    size_bytes -= part;
  }
  return ~state;
}

}  // namespace isal
