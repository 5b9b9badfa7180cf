// Mappings opened, written, persisted, zeroed, closed and refused at random, in two threads at once, built with
// AddressSanitizer and UndefinedBehaviorSanitizer. What was persisted is compared with what the file holds. A third thread
// holds memory of its own, which no mapping may replace: libpmem2 alone does that on ext4 (see mapping.cc).
// Argument: seconds to run (default 2). The seed of a failure is printed.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "../mapping.h"
#include "../source.h"

// libpmem2 1.12 forgets its data mover (144 bytes) when a mapping made from an existing one is deleted; that is every one
// but real persistent memory.
extern "C" const char *__lsan_default_suppressions() { return "leak:libpmem2.so\n"; }

namespace {

constexpr int DEFAULT_SECONDS = 2;
constexpr size_t PAGE = 4096;
constexpr size_t PAGES = 64;
constexpr int THREADS = 2;

using Random = std::mt19937;

[[noreturn]] void fail(unsigned seed, const std::string &what) {
  std::fprintf(stderr, "seed %u: %s\n", seed, what.c_str());
  std::_Exit(1);
}

size_t below(Random &random, size_t limit) { return random() % limit; }

// The code of the Failure that `call` throws; empty when it does not.
template <typename Call>
std::string code_of(Call call) {
  try {
    call();
  } catch (const pmdk::Failure &failure) {
    return failure.code;
  }
  return "";
}

// Blocks as large as the mappings, taken, filled, checked and given back.
void hold_memory() {
  constexpr uint8_t MARK = 0x5a;
  std::array<uint8_t *, 16> blocks{};
  for (auto &block : blocks) {
    void *address = mmap(nullptr, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (address == MAP_FAILED) fail(0, "no memory");
    block = static_cast<uint8_t *>(address);
    for (size_t page = 0; page < PAGES; page += 1) block[page * PAGE] = MARK;
  }
  for (uint8_t *block : blocks) {
    for (size_t page = 0; page < PAGES; page += 1) {
      if (block[page * PAGE] != MARK) fail(0, "a mapping replaced memory of another thread");
    }
    munmap(block, PAGES * PAGE);
  }
}

class Round {
 public:
  Round(const std::string &path, unsigned seed) : path_(path), seed_(seed), random_(seed), expected_(PAGES * PAGE, 0) {
    const int descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (descriptor < 0 || posix_fallocate(descriptor, 0, static_cast<off_t>(expected_.size())) != 0) {
      fail(seed, "cannot make " + path);
    }
    close(descriptor);
  }

  void run() {
    for (int opening = 0; opening < 4; opening += 1) work(opening % 2 == 0);
    for (int opening = 0; opening < 100; opening += 1) pmdk::Mapping({path_, 0, expected_.size(), std::nullopt});
    refuse();
    compare();
    unlink(path_.c_str());
  }

 private:
  void work(bool forced) {
    pmdk::MappingOptions options{path_, 0, expected_.size(), std::nullopt};
    if (forced) options.forced = PMEM2_GRANULARITY_CACHE_LINE;
    pmdk::Mapping mapping(options);
    if (code_of([&] { pmdk::Mapping second(options); }) != "BUSY") fail(seed_, "mapped twice");
    for (int step = 0; step < 200; step += 1) {
      const size_t offset = below(random_, expected_.size());
      const size_t length = 1 + below(random_, expected_.size() - offset);
      if (!mapping.contains(static_cast<double>(offset), static_cast<double>(length))) fail(seed_, "range refused");
      const bool zeros = mapping.granularity() != PMEM2_GRANULARITY_PAGE && below(random_, 8) == 0;
      const auto value = static_cast<uint8_t>(zeros ? 0 : random_());
      std::memset(expected_.data() + offset, value, length);
      if (zeros) {
        mapping.zero(offset, length);
      } else {
        std::memset(mapping.address() + offset, value, length);
        if (mapping.granularity() != PMEM2_GRANULARITY_PAGE) mapping.persist(offset, length);
      }
    }
    if (forced) mapping.deep_flush(0, PAGE);
    mapping.close();
    mapping.close();
  }

  void refuse() {
    const auto refused = [&](const std::string &path, size_t offset, size_t length) {
      for (const bool forced : {false, true}) {
        pmdk::MappingOptions options{path, offset, length, std::nullopt};
        if (forced) options.forced = PMEM2_GRANULARITY_BYTE;
        if (code_of([&] { pmdk::Mapping mapping(options); }).empty()) fail(seed_, "mapped what is not there");
      }
    };
    refused(path_, 0, expected_.size() + PAGE);
    refused(path_, expected_.size(), PAGE);
    refused(path_ + ".absent", 0, PAGE);
    refused("/tmp", 0, PAGE);
    if (code_of([&] { pmdk::inspect(path_ + ".absent"); }) != "ENOENT") fail(seed_, "inspected what is not there");
    if (std::string(pmdk::kind_of("/dev/null")) != "other") fail(seed_, "wrong kind");
    const pmdk::Source source = pmdk::inspect(path_);
    if (source.size != expected_.size() || source.alignment != PAGE) fail(seed_, "wrong size or alignment");
  }

  void compare() {
    std::vector<uint8_t> found(expected_.size());
    pmdk::read_head(path_, found.data(), found.size());
    if (found != expected_) fail(seed_, "the file holds something else");
    if (code_of([&] { pmdk::read_head(path_, found.data(), found.size() + 1); }) != "MAP_RANGE") {
      fail(seed_, "read beyond the end");
    }
  }

  const std::string path_;
  const unsigned seed_;
  Random random_;
  std::vector<uint8_t> expected_;
};

}  // namespace

int main(int count, char **arguments) {
  const int seconds = count > 1 ? std::atoi(arguments[1]) : DEFAULT_SECONDS;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  const char *temporary = std::getenv("TMPDIR");
  std::string folder = std::string(temporary == nullptr ? P_tmpdir : temporary) + "/pmdk-sanitize-XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) return 1;
  std::atomic<int> rounds{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < THREADS; thread += 1) {
    threads.emplace_back([&, thread] {
      const std::string path = folder + "/region" + std::to_string(thread);
      while (std::chrono::steady_clock::now() < end) Round(path, static_cast<unsigned>(rounds++)).run();
    });
  }
  threads.emplace_back([&] {
    while (std::chrono::steady_clock::now() < end) hold_memory();
  });
  for (auto &thread : threads) thread.join();
  rmdir(folder.c_str());
  std::printf("%d rounds\n", rounds.load());
  return 0;
}
