// The ring, the wake-up thread, the pages and the opening of files under the sanitizers: random requests at random depths
// on a file of its own, content compared with a copy in memory; arming and disarming at every moment; rings given up with
// requests in flight; files that cannot be opened. Argument: seconds to run (default 2).
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../device-file.h"
#include "../pages.h"
#include "../ring.h"
#include "../wake-thread.h"

namespace {

constexpr int kDefaultSeconds = 2;
constexpr std::uint32_t kEntries = 64;
constexpr std::size_t kFileBytes = 1024 * 1024;
constexpr std::size_t kBlockBytes = 4096;
constexpr std::size_t kBlocks = kFileBytes / kBlockBytes;

[[noreturn]] void Fail(const char* what) {
  std::fprintf(stderr, "FAILED: %s\n", what);
  std::exit(1);
}

void Check(bool condition, const char* what) {
  if (!condition) Fail(what);
}

// A file of zeros that goes with the object.
class TemporaryFile {
 public:
  TemporaryFile() {
    const char* folder = std::getenv("TMPDIR");
    path_ = std::string(folder == nullptr ? "/tmp" : folder) + "/daos-ring-XXXXXX";
    const int descriptor = mkstemp(path_.data());
    Check(descriptor >= 0 && ftruncate(descriptor, kFileBytes) == 0, "a temporary file");
    close(descriptor);
  }
  ~TemporaryFile() { unlink(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// One block of memory for each request id, in registered pages and beside them in ordinary ones.
class Memory {
 public:
  Memory() : pages_(static_cast<char*>(uring::MapPages(uring::kPagesUnitBytes))) {
    Check(pages_ != nullptr, "pages");
    Check(posix_memalign(&ordinary_, kBlockBytes, kEntries * kBlockBytes) == 0, "memory");
    std::memset(ordinary_, 0, kEntries * kBlockBytes);
  }
  ~Memory() {
    uring::UnmapPages(pages_, uring::kPagesUnitBytes);
    std::free(ordinary_);
  }
  char* pages() const { return pages_; }
  char* Of(std::uint32_t id, bool is_registered) const {
    return (is_registered ? pages_ : static_cast<char*>(ordinary_)) + id * kBlockBytes;
  }

 private:
  char* pages_;
  void* ordinary_ = nullptr;
};

struct Running {
  uring::Operation operation = uring::Operation::kFlush;
  std::size_t block = 0;
  bool is_registered = false;
};

class Run {
 public:
  Run(const std::string& path, std::uint32_t seed) : random_(seed), content_(kFileBytes, 0) {
    file_ = uring::OpenDeviceFile(path);
    Check(file_.error == 0 && file_.size_bytes == kFileBytes, "the file");
    Check(uring::OpenDeviceFile(path).failed_step == uring::OpenStep::kLock, "a lock on the file");
    Check(uring::Ring::Open(file_.descriptor, kEntries, &ring_) == 0, "a ring");
    is_registered_ = ring_->RegisterRegion(3, memory_.pages(), uring::kPagesUnitBytes) == 0;
    Check(ring_->RegisterRegion(uring::kMostRegions, memory_.pages(), 4096) == -EINVAL, "a region beyond the table");
    block_of_shared_.resize(uring::Shared::SizeBytes(kEntries) / 8 + 1);
    shared_ = uring::Shared(block_of_shared_.data(), kEntries);
    thread_ = uring::WakeThread::Start(ring_->event_descriptor(), Woken, this);
    Check(thread_ != nullptr, "a thread");
  }

  ~Run() {
    thread_.reset();
    Check(ring_->AwaitAll(10'000), "all requests answered");
    delete ring_;
    close(file_.descriptor);
  }

  // Leaves requests in flight at the end: the destructor waits for them.
  void Go(int turns) {
    content_.assign(kFileBytes, 0);
    for (std::size_t block = 0; block < kBlocks; ++block) known_[block] = false;
    for (int turn = 0; turn < turns; ++turn) {
      Push(Below(kEntries / 2));
      if (Below(4) == 0) Check(ring_->Submit(shared_) == 0, "submit");
      shared_.control()->wait_us = Below(3) == 0 ? 50 : 0;
      Take(ring_->Turn(shared_));
      if (Below(8) == 0 && ring_->Arm()) Sleep();
    }
  }

  void Misuse() {
    Take(0);
    const uring::Submission good = {1, 0, 4096, -1, 0, 4096};
    for (int kind = 0; kind < 5; ++kind) {
      uring::Submission bad = good;
      if (kind == 0) bad.operation = 0;
      if (kind == 1) bad.operation = 7;
      if (kind == 2) bad.offset = -1;
      if (kind == 3) bad.address = 1e18;
      if (kind == 4) bad.region = uring::kMostRegions;
      shared_.submissions()[0] = bad;
      shared_.control()->submission_count = 1;
      Check(ring_->Turn(shared_) == -EINVAL, "a submission that is none");
    }
    shared_.control()->submission_count = kEntries + 1;
    Check(ring_->Turn(shared_) == -EINVAL, "too many submissions");
    shared_.control()->submission_count = 0;
  }

 private:
  static bool Woken(void* self) {
    static_cast<Run*>(self)->wakes_.fetch_add(1);
    return true;
  }

  std::uint32_t Below(std::uint32_t limit) { return random_() % limit; }

  void Push(std::uint32_t most) {
    std::uint32_t count = 0;
    for (std::uint32_t id = 0; id < kEntries && count < most; ++id) {
      const std::size_t block = Below(kBlocks);
      if (busy_ids_[id] || busy_blocks_[block]) continue;
      Start(&shared_.submissions()[count], id, block);
      ++count;
    }
    shared_.control()->submission_count = count;
  }

  void Start(uring::Submission* submission, std::uint32_t id, std::size_t block) {
    const auto operation = static_cast<uring::Operation>(1 + Below(5));
    const bool is_registered = is_registered_ && Below(2) == 0;
    char* address = memory_.Of(id, is_registered);
    if (operation == uring::Operation::kWrite || operation == uring::Operation::kDurableWrite) {
      std::memset(address, static_cast<int>(Below(256)), kBlockBytes);
    }
    const bool is_flush = operation == uring::Operation::kFlush;
    *submission = {static_cast<std::uint32_t>(operation), id, is_flush ? 0 : static_cast<std::uint32_t>(kBlockBytes),
                   is_registered ? 3 : -1, static_cast<double>(block * kBlockBytes),
                   static_cast<double>(reinterpret_cast<std::uintptr_t>(address))};
    running_[id] = {operation, block, is_registered};
    busy_ids_[id] = true;
    busy_blocks_[block] = true;
  }

  void Take(int count) {
    Check(count >= 0, "a turn");
    for (int index = 0; index < count; ++index) {
      const uring::Completion& completion = shared_.completions()[index];
      Check(completion.id < kEntries && busy_ids_[completion.id], "a completion of a request");
      Settle(running_[completion.id], memory_.Of(completion.id, running_[completion.id].is_registered), completion.result);
      busy_ids_[completion.id] = false;
      busy_blocks_[running_[completion.id].block] = false;
    }
  }

  void Settle(const Running& request, const char* address, int result) {
    char* place = content_.data() + request.block * kBlockBytes;
    switch (request.operation) {
      case uring::Operation::kRead:
        Check(result == static_cast<int>(kBlockBytes), "a whole read");
        if (known_[request.block]) Check(std::memcmp(place, address, kBlockBytes) == 0, "the bytes that were written");
        break;
      case uring::Operation::kWrite:
      case uring::Operation::kDurableWrite:
        Check(result == static_cast<int>(kBlockBytes), "a whole write");
        std::memcpy(place, address, kBlockBytes);
        known_[request.block] = true;
        break;
      default:
        Check(result == 0 || result == -EOPNOTSUPP, "a flush or a hole");
        if (request.operation == uring::Operation::kPunchHole) known_[request.block] = false;
    }
  }

  // As the event loop does; a wake-up that was spent on an earlier sleep leaves this one to its time limit.
  void Sleep() {
    const int before = wakes_.load();
    for (int step = 0; step < 20 && wakes_.load() == before; ++step) usleep(50);
    ring_->Disarm();
  }

  std::mt19937 random_;
  uring::DeviceFile file_;
  Memory memory_;
  uring::Ring* ring_ = nullptr;
  bool is_registered_ = false;
  std::vector<std::uint64_t> block_of_shared_;
  uring::Shared shared_;
  std::atomic<int> wakes_{0};
  std::unique_ptr<uring::WakeThread> thread_;
  std::vector<char> content_;
  Running running_[kEntries];
  bool busy_ids_[kEntries] = {};
  bool busy_blocks_[kBlocks] = {};
  bool known_[kBlocks] = {};
};

void CheckRefusals() {
  Check(uring::OpenDeviceFile("/nonexistent/file").error == ENOENT, "a missing file");
  Check(uring::OpenDeviceFile("/").error == EISDIR, "a folder");
  Check(uring::OpenDeviceFile("/dev/null").error == ENOTBLK, "a character device");
  uring::Ring* ring = nullptr;
  Check(uring::Ring::Open(99999, kEntries, &ring) < 0 && ring == nullptr, "a descriptor that is none");
  Check(uring::Ring::Open(0, 48, &ring) == -EINVAL && uring::Ring::Open(0, 0, &ring) == -EINVAL, "odd entries");
  Check(uring::MapPages(0) == nullptr && uring::MapPages(4096) == nullptr, "a size off the unit");
  Check(uring::MapPages(std::size_t{1} << 62) == nullptr, "more than there is");
}

}  // namespace

int main(int count, char** arguments) {
  const int seconds = count > 1 ? std::atoi(arguments[1]) : kDefaultSeconds;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  CheckRefusals();
  std::uint32_t seed = 1;
  do {
    const TemporaryFile file;
    Run run(file.path(), seed);
    run.Misuse();
    run.Go(static_cast<int>(200 + seed % 300));
    ++seed;
  } while (std::chrono::steady_clock::now() < end);
  std::printf("%u rings\n", seed - 1);
  return 0;
}
