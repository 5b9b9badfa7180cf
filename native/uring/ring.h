// One io_uring on one file. Everything but the wake-up is called by one thread, the one that opened the ring.
//
// Requests come in and completions go out through a block of memory that both sides see (`Shared`), so that one call a
// turn moves any number of them. The ring owns neither the file nor the memory that requests name: whoever gave them
// keeps both until the request's completion has come out, which `AwaitAll` brings about before a ring is given up.
#pragma once

#include <atomic>
#include <cstdint>

#include <liburing.h>

namespace uring {

constexpr std::uint32_t kMostEntries = 4096;
// Regions that can be registered for I/O without page look-ups.
constexpr std::uint32_t kMostRegions = 1024;

enum class Operation : std::uint32_t {
  kRead = 1,
  kWrite = 2,
  kDurableWrite = 3,
  kFlush = 4,
  kPunchHole = 5,
  kDiscard = 6,
};

// As JavaScript writes it: numbers up to 2^53 as doubles.
struct Submission {
  std::uint32_t operation;
  std::uint32_t id;
  std::uint32_t length;
  // Registered region that holds the memory; negative for none.
  std::int32_t region;
  double offset;
  double address;
};
static_assert(sizeof(Submission) == 32, "the layout is also in plugins/block-device/uring/native-ring.ts");

struct Completion {
  std::uint32_t id;
  std::int32_t result;
};

struct Control {
  std::uint32_t submission_count;
  // How long a turn without completions waits for some at most; 0 for not at all.
  std::uint32_t wait_us;
  std::uint32_t reserved[14];
};
static_assert(sizeof(Control) == 64, "the layout is also in plugins/block-device/uring/native-ring.ts");

// Control, then `entries` submissions, then `entries` completions.
class Shared {
 public:
  static std::size_t SizeBytes(std::uint32_t entries) {
    return sizeof(Control) + entries * (sizeof(Submission) + sizeof(Completion));
  }
  Shared() = default;
  Shared(void* address, std::uint32_t entries) : address_(static_cast<char*>(address)), entries_(entries) {}
  Control* control() const { return reinterpret_cast<Control*>(address_); }
  Submission* submissions() const { return reinterpret_cast<Submission*>(address_ + sizeof(Control)); }
  Completion* completions() const {
    return reinterpret_cast<Completion*>(address_ + sizeof(Control) + entries_ * sizeof(Submission));
  }

 private:
  char* address_ = nullptr;
  std::uint32_t entries_ = 0;
};

class Ring {
 public:
  // 0 or a negative errno. `entries`: power of two up to kMostEntries; as many requests may be unanswered at a time.
  static int Open(int descriptor, std::uint32_t entries, Ring** ring);
  // Nothing may be in flight.
  ~Ring();
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  // Submits `control->submission_count` requests and takes nothing out. 0, or errors as those of `Turn`.
  int Submit(const Shared& shared);

  // Submits in the same way, waits as `control->wait_us` says, and takes completions out. Returns
  // their count; -EINVAL, having submitted nothing, when a submission is none; another negative errno when the kernel
  // refuses the ring itself.
  int Turn(const Shared& shared);

  // From now on the next completion makes the event descriptor readable. False, and not armed, when one is there
  // already or a request still waits to be submitted: then a turn is due.
  bool Arm();
  void Disarm();

  // Registers a region, or with length 0 forgets it. 0 or a negative errno, such as -ENOMEM over the memory lock limit.
  int RegisterRegion(std::uint32_t index, void* address, std::size_t size_bytes);

  // Blocks until nothing is in flight; completions are dropped. False when a device did not answer within `patience_ms`;
  // reads into memory that is not registered are awaited for ever, since the kernel may still write there.
  bool AwaitAll(std::uint32_t patience_ms);

  int event_descriptor() const { return event_descriptor_; }
  std::uint32_t in_flight() const { return in_flight_; }

 private:
  Ring() = default;
  int SetUp(int descriptor, std::uint32_t entries);
  bool IsValid(const Submission& submission) const;
  int PrepareAll(const Shared& shared);
  void Prepare(const Submission& submission);
  bool HasTaskWork() const;
  int Enter(std::uint32_t wait_us);
  std::uint32_t Drain(Completion* completions, std::uint32_t most);

  struct io_uring ring_ = {};
  bool is_set_up_ = false;
  int event_descriptor_ = -1;
  std::uint32_t entries_ = 0;
  std::uint32_t in_flight_ = 0;
  std::uint32_t unregistered_reads_ = 0;
};

}  // namespace uring
