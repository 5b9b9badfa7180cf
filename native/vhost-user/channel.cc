// The control socket: see channel.h.
#include "channel.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "protocol.h"

namespace vhost_user {

namespace {

// A listener whose backlog is full refuses for a moment; this long is waited before the next try.
constexpr int kRetryConnectMs = 20;
constexpr uint32_t kMaxPayloadBytes = 128;
// Descriptors that a peer may attach to one answer; none is asked for, all are closed.
constexpr size_t kMaxStrayDescriptors = 16;

std::string name_of(uint32_t request) {
  switch (request) {
    case kGetFeatures: return "GET_FEATURES";
    case kSetFeatures: return "SET_FEATURES";
    case kSetOwner: return "SET_OWNER";
    case kSetMemTable: return "SET_MEM_TABLE";
    case kGetVringBase: return "GET_VRING_BASE";
    case kGetProtocolFeatures: return "GET_PROTOCOL_FEATURES";
    case kSetProtocolFeatures: return "SET_PROTOCOL_FEATURES";
    case kGetQueueNum: return "GET_QUEUE_NUM";
    case kSetVringEnable: return "SET_VRING_ENABLE";
    case kSetBackEndRequestFd: return "SET_BACKEND_REQ_FD";
    case kGetConfig: return "GET_CONFIG";
    default: return "message " + std::to_string(request);
  }
}

std::string error_text(int error) {
  char buffer[128];
  return strerror_r(error, buffer, sizeof buffer);
}

void close_stray_descriptors(msghdr& message) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t index = 0; index < count; ++index) {
      int fd;
      memcpy(&fd, CMSG_DATA(part) + index * sizeof fd, sizeof fd);
      ::close(fd);
    }
  }
}

}  // namespace

bool fail(Failure& failure, FailureKind kind, std::string text) {
  failure.kind = kind;
  failure.text = std::move(text);
  return false;
}

int64_t now_ms() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1000000;
}

bool Channel::open(const std::string& path, Failure& failure) {
  close();
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return fail(failure, FailureKind::kUnsupported, "its path is longer than a unix socket's may be (107 bytes)");
  }
  memcpy(address.sun_path, path.c_str(), path.size());
  fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd_ < 0) return fail(failure, FailureKind::kUnavailable, "no socket: " + error_text(errno));
  while (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    const int error = errno;
    if (error == EINTR) continue;
    if (error != EAGAIN) {
      close();
      return fail(failure, FailureKind::kUnavailable, "connecting fails: " + error_text(error));
    }
    pollfd cancel = {cancel_fd_, POLLIN, 0};
    if (poll(&cancel, 1, kRetryConnectMs) > 0 || now_ms() >= deadline_ms_) {
      close();
      return fail(failure, FailureKind::kTimeout, "the back-end does not accept the connection");
    }
  }
  return true;
}

void Channel::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

bool Channel::wait(short events, uint32_t request, Failure& failure) {
  for (;;) {
    const int64_t left_ms = deadline_ms_ - now_ms();
    if (left_ms <= 0) return fail(failure, FailureKind::kTimeout, "no answer to " + name_of(request) + " in time");
    pollfd entries[2] = {{fd_, events, 0}, {cancel_fd_, POLLIN, 0}};
    const int ready = poll(entries, 2, static_cast<int>(std::min<int64_t>(left_ms, 60000)));
    if (ready < 0 && errno != EINTR) return fail(failure, FailureKind::kUnavailable, "poll: " + error_text(errno));
    if (ready > 0 && entries[1].revents != 0) return fail(failure, FailureKind::kUnavailable, "it is being closed");
    if (ready > 0 && entries[0].revents != 0) return true;
  }
}

bool Channel::send(uint32_t request, uint32_t flags, const void* payload, uint32_t size, int passed_fd,
                   Failure& failure) {
  uint8_t bytes[sizeof(MessageHeader) + kMaxPayloadBytes];
  if (size > kMaxPayloadBytes) return fail(failure, FailureKind::kProtocol, "a message is too large");
  const MessageHeader header = {request, kVersion | flags, size};
  memcpy(bytes, &header, sizeof header);
  if (size > 0) memcpy(bytes + sizeof header, payload, size);
  const size_t total = sizeof header + size;
  size_t sent = 0;
  while (sent < total) {
    iovec part = {bytes + sent, total - sent};
    msghdr message = {};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    if (passed_fd >= 0 && sent == 0) {
      message.msg_control = control;
      message.msg_controllen = sizeof control;
      cmsghdr* rights = CMSG_FIRSTHDR(&message);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN(sizeof(int));
      memcpy(CMSG_DATA(rights), &passed_fd, sizeof passed_fd);
    }
    const ssize_t count = sendmsg(fd_, &message, MSG_NOSIGNAL);
    if (count > 0) {
      sent += static_cast<size_t>(count);
    } else if (errno == EAGAIN) {
      if (!wait(POLLOUT, request, failure)) return false;
    } else if (errno != EINTR) {
      return fail(failure, FailureKind::kUnavailable, "sending " + name_of(request) + " fails: " + error_text(errno));
    }
  }
  return true;
}

bool Channel::receive_bytes(void* bytes, size_t size, uint32_t request, Failure& failure) {
  size_t received = 0;
  while (received < size) {
    iovec part = {static_cast<uint8_t*>(bytes) + received, size - received};
    msghdr message = {};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxStrayDescriptors)];
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t count = recvmsg(fd_, &message, MSG_CMSG_CLOEXEC);
    if (count > 0) {
      close_stray_descriptors(message);
      received += static_cast<size_t>(count);
    } else if (count == 0) {
      return fail(failure, FailureKind::kUnavailable, "it hung up before it answered " + name_of(request));
    } else if (errno == EAGAIN) {
      if (!wait(POLLIN, request, failure)) return false;
    } else if (errno != EINTR) {
      return fail(failure, FailureKind::kUnavailable, "it broke off at " + name_of(request) + ": " + error_text(errno));
    }
  }
  return true;
}

bool Channel::receive(uint32_t request, void* payload, uint32_t size, Failure& failure) {
  MessageHeader header;
  if (!receive_bytes(&header, sizeof header, request, failure)) return false;
  const bool is_answer = header.request == request && (header.flags & kReplyFlag) != 0;
  if (!is_answer || (header.flags & kVersionMask) != kVersion) {
    return fail(failure, FailureKind::kProtocol,
                "it answered " + name_of(request) + " with message " + std::to_string(header.request) + ", flags " +
                    std::to_string(header.flags));
  }
  if (header.size != size) {
    return fail(failure, FailureKind::kProtocol,
                "it answered " + name_of(request) + " with " + std::to_string(header.size) + " bytes instead of " +
                    std::to_string(size));
  }
  return receive_bytes(payload, size, request, failure);
}

bool Channel::command(uint32_t request, const void* payload, uint32_t size, int passed_fd, bool acknowledged,
                      Failure& failure) {
  if (!send(request, acknowledged ? kNeedReplyFlag : 0, payload, size, passed_fd, failure)) return false;
  if (!acknowledged) return true;
  uint64_t refusal = 0;
  if (!receive(request, &refusal, sizeof refusal, failure)) return false;
  if (refusal == 0) return true;
  return fail(failure, FailureKind::kUnsupported, "it refused " + name_of(request));
}

bool Channel::ask(uint32_t request, const void* payload, uint32_t size, void* answer, uint32_t answer_size,
                  Failure& failure) {
  return send(request, 0, payload, size, -1, failure) && receive(request, answer, answer_size, failure);
}

}  // namespace vhost_user
