// The control socket to a back-end: connects, sends messages with descriptors, receives answers, all within one time limit.
//
// Guarantees: every answer is checked (request, version, reply flag, size) before its payload is used; a peer that is
// silent, sends too much or hangs up gives a Failure, never a hang; `cancel_fd` becoming readable ends any wait.
// What the messages mean is left to negotiation.cc. For one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace vhost_user {

enum class FailureKind : uint32_t { kNone = 0, kUnavailable = 1, kProtocol = 2, kUnsupported = 3, kTimeout = 4 };

// Why something did not work; `text` is the middle of a sentence: "the back-end closed the connection".
struct Failure {
  FailureKind kind = FailureKind::kNone;
  std::string text;
};

// Fills `failure` and returns false, for `return fail(...)`.
bool fail(Failure& failure, FailureKind kind, std::string text);

// CLOCK_MONOTONIC, milliseconds.
int64_t now_ms();

class Channel {
 public:
  explicit Channel(int cancel_fd) : cancel_fd_(cancel_fd) {}
  ~Channel() { close(); }
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // Every later call fails with kTimeout once `timeout_ms` have passed; call again for a new limit.
  void set_deadline(unsigned timeout_ms) { deadline_ms_ = now_ms() + timeout_ms; }

  bool open(const std::string& path, Failure& failure);
  void close();
  bool is_open() const { return fd_ >= 0; }
  int fd() const { return fd_; }

  // Sends a message and, when `acknowledged`, asks for and checks its acknowledgement. `passed_fd` -1: none.
  bool command(uint32_t request, const void* payload, uint32_t size, int passed_fd, bool acknowledged, Failure& failure);

  // Sends a message with `size` bytes of payload; the answer must have `answer_size` bytes.
  bool ask(uint32_t request, const void* payload, uint32_t size, void* answer, uint32_t answer_size, Failure& failure);

  bool ask_u64(uint32_t request, uint64_t& answer, Failure& failure) {
    return ask(request, nullptr, 0, &answer, sizeof answer, failure);
  }

 private:
  bool send(uint32_t request, uint32_t flags, const void* payload, uint32_t size, int passed_fd, Failure& failure);
  bool receive(uint32_t request, void* payload, uint32_t size, Failure& failure);
  bool receive_bytes(void* bytes, size_t size, uint32_t request, Failure& failure);
  bool wait(short events, uint32_t request, Failure& failure);

  const int cancel_fd_;
  int fd_ = -1;
  int64_t deadline_ms_ = 0;
};

}  // namespace vhost_user
