/* log.c: where the log Worker writes. Its fds are numbers of the process, in no room: a Worker that
 * writes has no slots. What is written lies in shared memory that TypeScript made: it crosses as a
 * pointer, which holds during the call. */
#include "room.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/uio.h>

/* A stream whose other end takes nothing for so long is broken. */
#define STREAM_UNREAD_MS 60000

/* Three parts: what goes before, and bytes of a ring, which may go on at its beginning. */
enum { PARTS_MAX = 3 };

static int parts(struct iovec *iov, const uint8_t *before, int32_t before_len, const uint8_t *ring,
                 uint32_t ring_bytes, uint32_t from, uint32_t len)
{
    int count = 0;
    uint32_t first = len < ring_bytes - from ? len : ring_bytes - from;
    if (before_len > 0)
        iov[count++] = (struct iovec){(void *)(uintptr_t)before, (size_t)before_len};
    if (first > 0)
        iov[count++] = (struct iovec){(void *)(uintptr_t)(ring + from), first};
    if (len > first)
        iov[count++] = (struct iovec){(void *)(uintptr_t)ring, len - first};
    return count;
}

#define CHECK_PARTS(before, before_len, ring, ring_bytes, from, len) \
    CHECK((ring) != NULL && (from) < (ring_bytes) && (len) <= (ring_bytes) && (len) <= INT32_MAX); \
    CHECK((before_len) == 0 || ((before_len) > 0 && (before) != NULL))

/* Opens the file at <path> (with its NUL) for appending: open(2); one that is not there is made with
 * mode 0640. With <as> >= 0 it takes the place of that fd, at once for every thread: dup3(2).
 * Returns the fd, or -errno: -ENXIO is a named pipe that nobody reads. A pipe's writes do not wait. */
int32_t sl_log_open(const uint8_t *path, int32_t as)
{
    CHECK(path != NULL && as >= -1);
    int fd;
    do fd = open((const char *)path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
    while (fd == -1 && errno == EINTR);
    if (fd == -1)
        return -errno;
    if (as < 0)
        return fd;
    int result;
    do result = dup3(fd, as, O_CLOEXEC);
    while (result == -1 && errno == EINTR);
    int error = errno;
    close(fd);
    return result == -1 ? -error : result;
}

/* What <fd> is: 0 a file or a device that never says "not now", 1 a pipe or a terminal, 2 a socket. fstat(2). */
int32_t sl_log_kind(int32_t fd)
{
    struct stat status;
    if (fstat(fd, &status) == -1)
        return -errno;
    if (S_ISSOCK(status.st_mode))
        return 2;
    return S_ISFIFO(status.st_mode) || (S_ISCHR(status.st_mode) && isatty(fd)) ? 1 : 0;
}

/* Waits at most <timeout_ms> until <fd> can be written to: poll(2). Returns bits: 1 it takes something
 * or has an error to tell, 2 the other end is gone; 0 after the timeout. -1 is no fd: it only waits. */
int32_t sl_log_ready(int32_t fd, int32_t timeout_ms)
{
    CHECK(timeout_ms >= 0);
    struct pollfd ask = {.fd = fd, .events = POLLOUT | POLLRDHUP};
    int result = poll(&ask, 1, timeout_ms);
    if (result <= 0)
        return result == 0 || errno == EINTR ? 0 : -errno; /* a signal: the caller comes back anyway */
    if (ask.revents & POLLNVAL)
        return -EBADF;
    return ((ask.revents & (POLLOUT | POLLERR)) != 0) | ((ask.revents & (POLLHUP | POLLRDHUP)) != 0) << 1;
}

/* Writes <before>, then <len> bytes of the ring from <from> on, in one call: writev(2). Returns how many
 * of all were taken, or -errno: -ENOSPC, -EPIPE, -EAGAIN (a pipe that does not wait), ... */
int32_t sl_log_write(int32_t fd, const uint8_t *before, int32_t before_len, const uint8_t *ring,
                     uint32_t ring_bytes, uint32_t from, uint32_t len)
{
    CHECK_PARTS(before, before_len, ring, ring_bytes, from, len);
    struct iovec iov[PARTS_MAX];
    int count = parts(iov, before, before_len, ring, ring_bytes, from, len);
    ssize_t n;
    do n = writev(fd, iov, count);
    while (n == -1 && errno == EINTR);
    return n == -1 ? -errno : (int32_t)n;
}

/* The same to a socket: sendmsg(2), which never waits. For a datagram socket it is one datagram. */
int32_t sl_log_send(int32_t fd, const uint8_t *before, int32_t before_len, const uint8_t *ring,
                    uint32_t ring_bytes, uint32_t from, uint32_t len)
{
    CHECK_PARTS(before, before_len, ring, ring_bytes, from, len);
    struct iovec iov[PARTS_MAX];
    struct msghdr message = {.msg_iov = iov};
    message.msg_iovlen = (size_t)parts(iov, before, before_len, ring, ring_bytes, from, len);
    ssize_t n;
    do n = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n == -1 && errno == EINTR);
    return n == -1 ? -errno : (int32_t)n;
}

/* Connects a socket to the address record at <address>: socket(2), connect(2). Datagrams, or with
 * <stream> a stream, which may still be on its way: ask sl_log_ready, then sl_log_outcome. Returns the fd. */
int32_t sl_log_connect(const uint8_t *address, int32_t stream)
{
    CHECK(address != NULL);
    struct sockaddr_storage to;
    socklen_t length = sl_address_read(address, &to);
    CHECK(length > 0);
    int type = (stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK;
    int fd = socket(to.ss_family, type, 0);
    if (fd == -1)
        return -errno;
    int unread_ms = STREAM_UNREAD_MS;
    if (stream && to.ss_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unread_ms, sizeof unread_ms);
    if (connect(fd, (struct sockaddr *)&to, length) == -1 && errno != EINPROGRESS && errno != EINTR) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

/* What became of a connect: 0, or -errno from SO_ERROR. */
int32_t sl_log_outcome(int32_t fd)
{
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == -1)
        return -errno;
    return -error;
}

/* Closes what sl_log_open or sl_log_connect gave. */
int32_t sl_log_close(int32_t fd)
{
    return close(fd) == -1 ? -errno : 0;
}
