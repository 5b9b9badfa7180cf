// See ring.h. The ring is asked for in the cheapest form first: completions are then processed by the thread that turns
// the ring and never interrupt it. Older kernels get what they know.
#include "ring.h"

#include <array>
#include <cerrno>
#include <chrono>

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace uring {
namespace {

// _IO(0x12, 0): discard of a range of a block device as a ring operation (kernel 6.12).
constexpr std::uint32_t kBlockDiscardCommand = 0x1200;

// Marks a read into memory that is not registered; beside the request's id in what the kernel hands back.
constexpr std::uint64_t kUnregisteredRead = std::uint64_t{1} << 32;

// 0, or a negative errno that no later turn will get over. What passes: no time left, a signal, no memory at the moment,
// completions to be taken out first. Then requests stay queued, and the next turn submits them.
int WithoutPassing(int result) {
  const bool is_passing = result == -ETIME || result == -EINTR || result == -EAGAIN || result == -EBUSY;
  return result < 0 && !is_passing ? result : 0;
}

// With many in flight a wait is for several completions: one by one they would cost a wake-up each.
std::uint32_t WaitCount(std::uint32_t in_flight) { return in_flight < 16 ? 1 : in_flight / 8; }

constexpr std::array<unsigned, 3> kSetUpFlags = {
    // 6.1
    IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
        IORING_SETUP_TASKRUN_FLAG,
    // 5.19
    IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
    // 5.11
    IORING_SETUP_CLAMP,
};

}  // namespace

int Ring::Open(int descriptor, std::uint32_t entries, Ring** ring) {
  *ring = nullptr;
  if (entries == 0 || entries > kMostEntries || (entries & (entries - 1)) != 0) return -EINVAL;
  Ring* opened = new Ring();
  const int result = opened->SetUp(descriptor, entries);
  if (result < 0) {
    delete opened;
    return result;
  }
  *ring = opened;
  return 0;
}

int Ring::SetUp(int descriptor, std::uint32_t entries) {
  int result = -EINVAL;
  for (const unsigned flags : kSetUpFlags) {
    result = io_uring_queue_init(entries, &ring_, flags);
    if (result != -EINVAL) break;
  }
  if (result < 0) return result;
  is_set_up_ = true;
  entries_ = entries;
  if ((ring_.features & IORING_FEAT_EXT_ARG) == 0) return -ENOSYS;
  result = io_uring_register_files(&ring_, &descriptor, 1);
  if (result < 0) return result;
  event_descriptor_ = eventfd(0, EFD_CLOEXEC);
  if (event_descriptor_ < 0) return -errno;
  result = io_uring_register_eventfd(&ring_, event_descriptor_);
  if (result < 0) return result;
  Disarm();
  // Without a table (before 5.19) every request brings its memory along: slower, not wrong.
  io_uring_register_buffers_sparse(&ring_, kMostRegions);
  return 0;
}

Ring::~Ring() {
  if (is_set_up_) {
    // The kernel takes a ring down some time after it was closed: the file must be free at once, for the next who opens it.
    io_uring_unregister_files(&ring_);
    io_uring_unregister_buffers(&ring_);
    io_uring_queue_exit(&ring_);
  }
  if (event_descriptor_ >= 0) close(event_descriptor_);
}

int Ring::Submit(const Shared& shared) {
  const int result = PrepareAll(shared);
  if (result < 0) return result;
  return WithoutPassing(io_uring_submit(&ring_));
}

int Ring::Turn(const Shared& shared) {
  int result = PrepareAll(shared);
  if (result < 0) return result;
  result = Enter(shared.control()->wait_us);
  if (result < 0) return result;
  return static_cast<int>(Drain(shared.completions(), entries_));
}

int Ring::PrepareAll(const Shared& shared) {
  Control* control = shared.control();
  const std::uint32_t count = control->submission_count;
  if (count > entries_ - in_flight_) return -EINVAL;
  const Submission* submissions = shared.submissions();
  for (std::uint32_t index = 0; index < count; ++index) {
    if (!IsValid(submissions[index])) return -EINVAL;
  }
  for (std::uint32_t index = 0; index < count; ++index) Prepare(submissions[index]);
  control->submission_count = 0;
  in_flight_ += count;
  return 0;
}

bool Ring::IsValid(const Submission& submission) const {
  const auto operation = static_cast<Operation>(submission.operation);
  if (operation < Operation::kRead || operation > Operation::kDiscard) return false;
  if (submission.region >= static_cast<std::int32_t>(kMostRegions)) return false;
  return submission.offset >= 0 && submission.offset < 9007199254740992.0 && submission.address >= 0 &&
         submission.address < 9007199254740992.0;
}

void Ring::Prepare(const Submission& submission) {
  // There is always an entry: no more than `entries_` are unanswered, and each turn submits all it prepares or keeps
  // them in the queue, where they count as unanswered.
  struct io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  const auto offset = static_cast<std::uint64_t>(submission.offset);
  void* address = reinterpret_cast<void*>(static_cast<std::uintptr_t>(submission.address));
  const auto operation = static_cast<Operation>(submission.operation);
  const bool is_registered = submission.region >= 0;
  switch (operation) {
    case Operation::kRead:
      if (is_registered) io_uring_prep_read_fixed(sqe, 0, address, submission.length, offset, submission.region);
      else io_uring_prep_read(sqe, 0, address, submission.length, offset);
      break;
    case Operation::kWrite:
    case Operation::kDurableWrite:
      if (is_registered) io_uring_prep_write_fixed(sqe, 0, address, submission.length, offset, submission.region);
      else io_uring_prep_write(sqe, 0, address, submission.length, offset);
      if (operation == Operation::kDurableWrite) sqe->rw_flags = RWF_DSYNC;
      break;
    case Operation::kFlush:
      io_uring_prep_fsync(sqe, 0, IORING_FSYNC_DATASYNC);
      break;
    case Operation::kPunchHole:
      io_uring_prep_fallocate(sqe, 0, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                              static_cast<off_t>(submission.length));
      break;
    case Operation::kDiscard:
      io_uring_prep_rw(IORING_OP_URING_CMD, sqe, 0, nullptr, 0, 0);
      sqe->cmd_op = kBlockDiscardCommand;
      sqe->addr = offset;
      sqe->addr3 = submission.length;
      break;
  }
  sqe->flags |= IOSQE_FIXED_FILE;
  const bool is_unregistered_read = operation == Operation::kRead && !is_registered;
  if (is_unregistered_read) ++unregistered_reads_;
  io_uring_sqe_set_data64(sqe, submission.id | (is_unregistered_read ? kUnregisteredRead : 0));
}

bool Ring::HasTaskWork() const {
  return (IO_URING_READ_ONCE(*ring_.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

int Ring::Enter(std::uint32_t wait_us) {
  int result = 0;
  if (wait_us > 0 && in_flight_ > 0 && io_uring_cq_ready(&ring_) == 0) {
    struct __kernel_timespec timeout = {};
    timeout.tv_nsec = static_cast<long long>(wait_us) * 1000;
    struct io_uring_cqe* completion = nullptr;
    result = io_uring_submit_and_wait_timeout(&ring_, &completion, WaitCount(in_flight_), &timeout, nullptr);
  } else if (io_uring_sq_ready(&ring_) > 0) {
    result = io_uring_submit_and_get_events(&ring_);
  } else if (HasTaskWork()) {
    result = io_uring_get_events(&ring_);
  }
  return WithoutPassing(result);
}

std::uint32_t Ring::Drain(Completion* completions, std::uint32_t most) {
  std::uint32_t count = 0;
  unsigned head = 0;
  struct io_uring_cqe* cqe = nullptr;
  io_uring_for_each_cqe(&ring_, head, cqe) {
    if (count == most) break;
    const std::uint64_t tag = io_uring_cqe_get_data64(cqe);
    if ((tag & kUnregisteredRead) != 0) --unregistered_reads_;
    if (completions != nullptr) {
      completions[count].id = static_cast<std::uint32_t>(tag);
      completions[count].result = cqe->res;
    }
    ++count;
  }
  io_uring_cq_advance(&ring_, count);
  in_flight_ -= count;
  return count;
}

bool Ring::Arm() {
  io_uring_cq_eventfd_toggle(&ring_, true);
  // Between this look and the kernel's next completion nothing may be missed: it sets its flag, then reads ours.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (io_uring_cq_ready(&ring_) == 0 && io_uring_sq_ready(&ring_) == 0 && !HasTaskWork()) return true;
  Disarm();
  return false;
}

void Ring::Disarm() { io_uring_cq_eventfd_toggle(&ring_, false); }

int Ring::RegisterRegion(std::uint32_t index, void* address, std::size_t size_bytes) {
  if (index >= kMostRegions) return -EINVAL;
  struct iovec region = {address, size_bytes};
  const int result = io_uring_register_buffers_update_tag(&ring_, index, &region, nullptr, 1);
  return result < 0 ? result : 0;
}

bool Ring::AwaitAll(std::uint32_t patience_ms) {
  constexpr std::uint32_t kStepUs = 100'000;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(patience_ms);
  while (in_flight_ > 0) {
    if (Enter(kStepUs) < 0) return false;
    Drain(nullptr, in_flight_);
    const bool is_late = std::chrono::steady_clock::now() > deadline;
    if (is_late && in_flight_ > 0 && unregistered_reads_ == 0) return false;
  }
  return true;
}

}  // namespace uring
