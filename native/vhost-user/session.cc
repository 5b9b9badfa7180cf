// A connection with its rings: see session.h.
#include "session.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <utility>

namespace vhost_user {

namespace {

constexpr size_t kPageBytes = 4096;
// Spinning looks at the rings so often between two looks at the clock.
constexpr uint32_t kLooksPerClock = 8;
// A message of the back-end on its channel is refused beyond this.
constexpr uint32_t kMaxBackEndPayload = 256;

void close_fd(int& fd) {
  if (fd >= 0) close(fd);
  fd = -1;
}

void signal_fd(int fd) {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(fd, &one, sizeof one);
}

void clear_fd(int fd) {
  uint64_t count;
  [[maybe_unused]] const ssize_t taken = read(fd, &count, sizeof count);
}

}  // namespace

size_t Session::ring_bytes(uint32_t queues, uint32_t depth) {
  return (Ring::size_bytes(depth) * queues + kPageBytes - 1) / kPageBytes * kPageBytes;
}

Session::Session(std::shared_ptr<SharedPool> pool, Settings settings, std::function<void()> notify)
    : pool_(std::move(pool)), settings_(std::move(settings)), notify_(std::move(notify)) {}

Session::~Session() {
  if (started_) {
    signal_fd(cancel_fd_);
    pthread_join(thread_, nullptr);
  }
  close_connection();
  for (int& fd : kick_fds_) close_fd(fd);
  close_fd(call_fd_);
  close_fd(control_fd_);
  close_fd(cancel_fd_);
}

bool Session::start(int& error) {
  const auto make = [&] { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); };
  call_fd_ = make();
  control_fd_ = make();
  cancel_fd_ = make();
  bool complete = call_fd_ >= 0 && control_fd_ >= 0 && cancel_fd_ >= 0;
  for (uint32_t index = 0; index < settings_.queues; ++index) {
    const int kick_fd = make();
    complete = complete && kick_fd >= 0;
    kick_fds_.push_back(kick_fd);
    uint8_t* memory = pool_->data() + Ring::size_bytes(settings_.depth) * index;
    rings_.push_back(std::make_unique<Ring>(memory, settings_.depth, kick_fd));
  }
  error = errno;
  if (!complete) return false;
  channel_ = std::make_unique<Channel>(cancel_fd_);
  error = pthread_create(&thread_, nullptr, run, this);
  started_ = error == 0;
  return started_;
}

void Session::connect() {
  resumed_ = false;
  armed_.store(false);
  for (const auto& ring : rings_) ring->reset();
  tell(kCommandConnect);
}

void Session::resume() {
  active_ = description();
  resumed_ = true;
  for (uint32_t index = 0; index < active_.queues; ++index) rings_[index]->resubmit(active_);
}

void Session::abandon() {
  resumed_ = false;
  for (const auto& ring : rings_) ring->abandon();
}

int Session::exchange(const double* commands, uint32_t count, uint32_t spin_ns, uint32_t* completions) {
  const bool only_polls = count == 0;
  const uint32_t queues = active_.queues;
  if (count > 0 && !resumed_) return kWrongCommand;
  for (const double* command = commands; count > 0; --count, command += kCommandDoubles) {
    const uint32_t slot = static_cast<uint32_t>(command[kSlot]);
    SlotRequest request;
    request.type = static_cast<uint32_t>(command[kType]);
    request.sector = static_cast<uint64_t>(command[kSector]);
    request.length = static_cast<uint32_t>(command[kLength]);
    const uint64_t offset = static_cast<uint64_t>(command[kOffset]);
    const bool has_data = request.type == kRead || request.type == kWrite;
    const size_t front = ring_bytes(settings_.queues, settings_.depth);
    if (has_data && (offset < front || offset + request.length > pool_->size_bytes())) return kWrongCommand;
    if (slot >= queues * settings_.depth) return kWrongCommand;
    request.bytes = pool_->data() + offset;
    Ring& ring = *rings_[slot % queues];
    if (ring.is_in_flight(slot / queues) || !ring.submit(slot / queues, request, active_)) return kWrongCommand;
  }
  for (uint32_t index = 0; index < queues && resumed_; ++index) rings_[index]->publish(active_);
  const int collected = collect(completions);
  if (collected != 0) return collected;
  if (spin_ns > 0) return spin(spin_ns, completions);
  // The scheduler may have put the back-end on this very core, where our polling would keep it from answering.
  if (only_polls) sched_yield();
  return 0;
}

int Session::collect(uint32_t* completions) {
  int collected = 0;
  for (uint32_t index = 0; index < active_.queues; ++index) {
    const int found = rings_[index]->collect(completions + 2 * collected, active_.queues, index, active_);
    if (found < 0) return kViolation;
    collected += found;
  }
  return collected;
}

int Session::spin(uint32_t spin_ns, uint32_t* completions) {
  using Clock = std::chrono::steady_clock;
  Clock::time_point end;
  for (uint32_t look = 1;; ++look) {
    const int collected = collect(completions);
    if (collected != 0) return collected;
    if (look % kLooksPerClock != 0) continue;
    const Clock::time_point now = Clock::now();
    if (look == kLooksPerClock) end = now + std::chrono::nanoseconds(spin_ns);
    if (now >= end) return 0;
  }
}

bool Session::arm() {
  armed_.store(true);
  bool quiet = true;
  for (uint32_t index = 0; index < active_.queues && quiet; ++index) quiet = rings_[index]->arm(active_);
  if (quiet) return true;
  armed_.store(false);
  for (uint32_t index = 0; index < active_.queues; ++index) rings_[index]->disarm(active_);
  return false;
}

Description Session::description() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return description_;
}

Failure Session::failure() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return failure_;
}

void Session::tell(uint32_t command) {
  commands_.fetch_or(command);
  signal_fd(control_fd_);
}

void Session::post(uint32_t event) {
  if (events_.fetch_or(event) == 0) notify_();
}

void Session::report(uint32_t event, Failure failure) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    failure_ = std::move(failure);
  }
  post(event);
}

void* Session::run(void* session) {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);  // Signals are for the program's own threads.
  static_cast<Session*>(session)->loop();
  return nullptr;
}

void Session::loop() {
  for (;;) {
    const int socket_fd = connected_ ? channel_->fd() : -1;
    pollfd entries[5] = {
        {cancel_fd_, POLLIN, 0},
        {control_fd_, POLLIN, 0},
        {socket_fd, POLLIN, 0},  // POLLHUP and POLLERR always come.
        {call_fd_, POLLIN, 0},
        {back_end_channel_, POLLIN, 0},
    };
    if (poll(entries, 5, -1) < 0) continue;  // EINTR; the entries are right.
    if (entries[0].revents != 0) return;
    if (entries[3].revents != 0) watch_call();
    if (entries[4].revents != 0) watch_back_end_channel(entries[4].revents);
    if (entries[2].revents != 0) watch_socket(entries[2].revents);
    if (entries[1].revents != 0) {
      clear_fd(control_fd_);
      obey(commands_.exchange(0));
    }
  }
}

void Session::obey(uint32_t commands) {
  if ((commands & kCommandDisconnect) != 0) do_disconnect();
  else if ((commands & kCommandConnect) != 0) do_connect();
  else if ((commands & kCommandRefresh) != 0) do_refresh();
}

void Session::do_connect() {
  close_connection();
  clear_fd(call_fd_);
  Failure failure;
  Description description;
  int ends[2] = {-1, -1};
  // Blocking: the back-end's end shares the mode, and back-ends wait for answers on it. We never wait (MSG_DONTWAIT).
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    fail(failure, FailureKind::kUnavailable, "no socket pair, error " + std::to_string(errno));
    report(kConnectFailed, failure);
    return;
  }
  std::vector<RingPlace> places;
  for (const auto& ring : rings_) places.push_back(ring->place());
  const Proposal proposal = {*pool_, places, settings_.depth, call_fd_, ends[1]};
  channel_->set_deadline(settings_.timeout_ms);
  const bool agreed = channel_->open(settings_.socket_path, failure) &&
                      negotiate(*channel_, proposal, description, failure);
  close(ends[1]);
  back_end_channel_ = ends[0];
  if (!agreed) {
    close_connection();
    report(kConnectFailed, failure);
    return;
  }
  if ((description.protocol_features & kProtocolBackEndRequest) == 0) close_back_end_channel();
  connected_ = true;
  negotiated_ = description;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    description_ = description;
  }
  post(kConnected);
}

void Session::do_refresh() {
  if (!connected_) return;
  Failure failure;
  Description description = negotiated_;
  channel_->set_deadline(settings_.timeout_ms);
  if (!read_config(*channel_, description, failure)) {
    close_connection();
    report(kLost, failure);
    return;
  }
  // Queues and limits of the requests stay as agreed: only the size may change under a connection.
  negotiated_.capacity_bytes = description.capacity_bytes;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    description_ = negotiated_;
  }
  post(kConfigRead);
}

void Session::do_disconnect() {
  Failure failure;
  channel_->set_deadline(settings_.timeout_ms);
  if (connected_) stop_rings(*channel_, negotiated_, failure);
  close_connection();
  report(kDisconnected, failure);
}

void Session::watch_socket(short events) {
  Failure failure;
  const bool hung_up = (events & (POLLHUP | POLLERR)) != 0;
  char byte;
  const ssize_t count = hung_up ? 0 : recv(channel_->fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count > 0) fail(failure, FailureKind::kProtocol, "it sent a message that nobody asked for");
  else fail(failure, FailureKind::kUnavailable, "it hung up");
  close_connection();
  report(kLost, failure);
}

void Session::watch_call() {
  clear_fd(call_fd_);
  if (armed_.exchange(false)) post(kCompletion);
}

void Session::watch_back_end_channel(short events) {
  struct {
    MessageHeader header;
    uint8_t payload[kMaxBackEndPayload];
  } message;
  const ssize_t count = recv(back_end_channel_, &message.header, sizeof message.header, MSG_DONTWAIT);
  if (count < 0 && (errno == EAGAIN || errno == EINTR) && (events & (POLLHUP | POLLERR)) == 0) return;
  if (count != sizeof message.header || message.header.size > kMaxBackEndPayload) return close_back_end_channel();
  if (message.header.size > 0 &&
      recv(back_end_channel_, message.payload, message.header.size, MSG_DONTWAIT) != message.header.size) {
    return close_back_end_channel();
  }
  const bool known = message.header.request == kBackEndConfigChange;
  if ((message.header.flags & kNeedReplyFlag) != 0) {
    struct __attribute__((packed)) {
      MessageHeader header;
      uint64_t refusal;
    } answer = {{message.header.request, kVersion | kReplyFlag, sizeof(uint64_t)}, known ? 0u : 1u};
    if (send(back_end_channel_, &answer, sizeof answer, MSG_NOSIGNAL | MSG_DONTWAIT) != sizeof answer) {
      return close_back_end_channel();
    }
  }
  if (known) post(kConfigChanged);
}

void Session::close_connection() {
  connected_ = false;
  if (channel_ != nullptr) channel_->close();
  close_back_end_channel();
}

void Session::close_back_end_channel() { close_fd(back_end_channel_); }

}  // namespace vhost_user
