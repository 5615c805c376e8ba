/* pipe.c: pipes, and bytes that go from socket to socket without passing through us. */
#include "tls.h"

#include <fcntl.h>
#include <unistd.h>

#define READ_END(pipe) (me->pipes[pipe].read_fd - 1)
#define WRITE_END(pipe) (me->pipes[pipe].write_fd - 1)

#define PIPE_BYTES_LEAST 65536

/* Opens pipe <pipe>: pipe2(2), and F_SETPIPE_SZ of <bytes>, or of as many quarters of it as the kernel
 * gives: an unprivileged user has 64 pipes of 1 MiB (pipe-user-pages-soft, pipe(7)). Returns the size
 * it has, which may be less than 64 KiB. -EMFILE or -ENFILE when fds have run out. */
int32_t sl_pipe_open(int32_t pipe, int32_t bytes)
{
    CHECK_PIPE(pipe);
    CHECK(me->pipes[pipe].read_fd == 0 && bytes > 0);
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) == -1)
        return -errno;
    int size = -1;
    for (; size == -1 && bytes >= PIPE_BYTES_LEAST; bytes /= 4)
        size = fcntl(ends[1], F_SETPIPE_SZ, bytes);
    if (size == -1)
        size = fcntl(ends[1], F_GETPIPE_SZ);
    if (size == -1) {
        int error = errno;
        close(ends[0]), close(ends[1]);
        return -error;
    }
    me->pipes[pipe] = (struct sl_pipe){ ends[0] + 1, ends[1] + 1 };
    me->pipes_held++;
    return size;
}

/* Closes a pipe; bytes still in it are gone. */
int32_t sl_pipe_close(int32_t pipe)
{
    CHECK_PIPE(pipe);
    CHECK(me->pipes[pipe].read_fd != 0);
    close(READ_END(pipe)), close(WRITE_END(pipe));
    me->pipes[pipe] = (struct sl_pipe){ 0 };
    me->pipes_held--;
    return 0;
}

/* Copies bytes of the arena into a pipe: write(2). Into an empty pipe at least 64 KiB fit (pipe(7); a
 * user over pipe-user-pages-soft may get one page: less is taken then). Returns bytes taken;
 * -EAGAIN when the pipe is full. */
int32_t sl_pipe_write(int32_t pipe, uint32_t off, int32_t len)
{
    CHECK_PIPE(pipe);
    CHECK_ARENA(off, len);
    CHECK(len > 0 && me->pipes[pipe].read_fd != 0);
    ssize_t n;
    do n = write(WRITE_END(pipe), me->arena + off, (size_t)len);
    while (n == -1 && errno == EINTR);
    return n == -1 ? -errno : (int32_t)n;
}

/* Whether bytes of this slot may go by splice: 1, or 0 when they must pass through us (TLS that the kernel
 * does not do). */
int32_t sl_can_splice(int32_t slot)
{
    CHECK_SLOT(slot);
    CHECK(me->slots[slot] != 0);
    return me->slots[slot] & SLOT_TLS ? sl_tls_splices(slot) : 1;
}

/* splice(2) from a socket into the end of a pipe: bytes moved, 0 at end of stream, -errno. */
int32_t sl_splice_fd(int32_t from, int32_t to, int32_t len)
{
    ssize_t n;
    do n = RAW_SPLICE(from, to, (size_t)len, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    while (n == -1 && errno == EINTR);
    return n == -1 ? -errno : (int32_t)n;
}

/* Moves at most <len> bytes from a slot's socket into a pipe: splice(2). Returns bytes moved, 0 at end
 * of stream; -EAGAIN when the socket has none OR the pipe is full; -ECONNRESET, ... */
int32_t sl_splice_in(int32_t slot, int32_t pipe, int32_t len)
{
    CHECK_SLOT(slot);
    CHECK_PIPE(pipe);
    CHECK(len > 0 && me->slots[slot] != 0 && me->pipes[pipe].read_fd != 0);
    return me->slots[slot] & SLOT_TLS ? sl_tls_splice_in(slot, WRITE_END(pipe), len)
                                      : sl_splice_fd(FD(slot), WRITE_END(pipe), len);
}

/* Moves at most <len> bytes from a pipe to a slot's socket: splice(2). Returns bytes moved (> 0);
 * -EAGAIN when the socket takes none (or the pipe is empty: the caller counts); -EPIPE, -ECONNRESET.
 * <more> 1 (SPLICE_F_MORE) only when more is known to follow. */
int32_t sl_splice_out(int32_t pipe, int32_t slot, int32_t len, int32_t more)
{
    CHECK_SLOT(slot);
    CHECK_PIPE(pipe);
    CHECK(len > 0 && me->slots[slot] != 0 && me->pipes[pipe].read_fd != 0);
    ssize_t n;
    do n = RAW_SPLICE(READ_END(pipe), FD(slot), (size_t)len,
                      SPLICE_F_MOVE | SPLICE_F_NONBLOCK | (more ? SPLICE_F_MORE : 0));
    while (n == -1 && errno == EINTR);
    return n == -1 ? -errno : (int32_t)n;
}
