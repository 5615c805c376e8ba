/* machine.c: what the machine lets this process do. Each ability is tried, not looked up: a container's
 * filter may refuse a call that the kernel has. Nothing that is opened for it stays open. */
#include "room.h"

#include <fcntl.h>
#include <gnu/libc-version.h>
#include <linux/openat2.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

#define PIPE_BYTES (1 << 20) /* what a bulk stream asks for */
#define SLICE_NS 100000     /* the shortest that there is */

enum { MACHINE_PAGE, MACHINE_GLIBC, MACHINE_CLOCK, MACHINE_EPOLL, MACHINE_SPLICE, MACHINE_PIPE, MACHINE_IP6,
       MACHINE_REUSEPORT, MACHINE_MEMFD, MACHINE_OPENAT2, MACHINE_NOWAIT, MACHINE_KTLS,
       MACHINE_MPTCP, MACHINE_TRANSPARENT, MACHINE_DEVICE };

/* Closes what is open of <fds>; returns -errno if it <failed>, else <result>. */
static int32_t done(const int *fds, int count, int failed, int32_t result)
{
    int error = errno;
    for (int index = 0; index < count; index++)
        if (fds[index] != -1)
            close(fds[index]);
    return !failed ? result : error == 0 ? -EIO : -error; /* an error nobody names is one all the same */
}

static int32_t glibc(void)
{
    char *end;
    long major = strtol(gnu_get_libc_version(), &end, 10);
    return (int32_t)(major * 1000 + (*end == '.' ? strtol(end + 1, NULL, 10) : 0));
}

static int32_t try_epoll(void)
{
    int fds[] = { epoll_create1(EPOLL_CLOEXEC), eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
    struct epoll_event event = { .events = EPOLLIN | EPOLLET };
    int failed = fds[0] == -1 || fds[1] == -1 || epoll_ctl(fds[0], EPOLL_CTL_ADD, fds[1], &event) == -1;
    return done(fds, 2, failed, 1);
}

static int32_t try_splice(void)
{
    int fds[] = { -1, -1, -1, -1 };
    int failed = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == -1 ||
                 pipe2(fds + 2, O_CLOEXEC | O_NONBLOCK) == -1 || send(fds[0], "", 1, MSG_NOSIGNAL) != 1 ||
                 splice(fds[1], NULL, fds[3], NULL, 1, SPLICE_F_MOVE | SPLICE_F_NONBLOCK) != 1 ||
                 splice(fds[2], NULL, fds[1], NULL, 1, SPLICE_F_MOVE | SPLICE_F_NONBLOCK) != 1;
    return done(fds, 4, failed, 1);
}

static int32_t try_pipe(void)
{
    int fds[] = { -1, -1 };
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) == -1)
        return -errno;
    int size = fcntl(fds[1], F_SETPIPE_SZ, PIPE_BYTES);
    return done(fds, 2, size == -1, size);
}

/* As `tcp://:PORT` listens: on every address, IPv4 included. */
static int32_t try_ip6(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), off = 0;
    struct sockaddr_in6 any = { .sin6_family = AF_INET6 };
    int failed = fd == -1 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == -1 ||
                 bind(fd, (struct sockaddr *)&any, sizeof any) == -1;
    return done(&fd, 1, failed, 1);
}

static int32_t try_reuseport(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    int failed = fd == -1 || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == -1;
    return done(&fd, 1, failed, 1);
}

static int32_t try_openat2(void)
{
    struct open_how how = { .flags = O_PATH | O_CLOEXEC };
    int fd = (int)syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof how);
    return done(&fd, 1, fd == -1, 1);
}

/* Of the disk that the program is on; what is not in memory is an answer as well. */
static int32_t try_nowait(void)
{
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    char byte;
    struct iovec one = { &byte, 1 };
    int failed = fd == -1 || (preadv2(fd, &one, 1, 0, RWF_NOWAIT) == -1 && errno != EAGAIN);
    return done(&fd, 1, failed, 1);
}

/* Whether the kernel does records of TLS: it says so before there is a connection (ENOTCONN). */
static int32_t try_ktls(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int failed = fd == -1 ||
                 (setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof "tls") == -1 && errno != ENOTCONN);
    return done(&fd, 1, failed, 1);
}

static int32_t try_mptcp(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_MPTCP);
    return done(&fd, 1, fd == -1, 1);
}

/* To take addresses for its own that are not: CAP_NET_ADMIN, or CAP_NET_RAW. */
static int32_t try_transparent(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    int failed = fd == -1 || setsockopt(fd, SOL_IP, IP_TRANSPARENT, &on, sizeof on) == -1;
    return done(&fd, 1, failed, 1);
}

static int32_t try_device(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int failed = fd == -1 || setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", sizeof "lo") == -1;
    return done(&fd, 1, failed, 1);
}

/* One fact about the machine: 0 bytes of a page; 1 glibc's version, 2036 for 2.36; 2 the clock's state as
 * adjtimex(2) tells it, 5 (TIME_ERROR) when nothing keeps it right; 5 how large a pipe becomes that is to
 * have 1 MiB; and 1 for what works: 3 epoll with an eventfd, 4 splice, 6 a dual-stack socket of IPv6,
 * 7 SO_REUSEPORT, 8 memfd_create, 9 openat2, 10 preadv2 with RWF_NOWAIT, 11 kTLS, 12 MPTCP, 13 IP_TRANSPARENT,
 * 14 SO_BINDTODEVICE. What does not work is the negative errno that says why. Needs no room. -EINVAL for any other. */
int32_t sl_machine(int32_t which)
{
    struct timex clock = { .modes = 0 };
    int result;
    switch (which) {
    case MACHINE_PAGE: return (int32_t)sysconf(_SC_PAGESIZE);
    case MACHINE_GLIBC: return glibc();
    case MACHINE_CLOCK: result = adjtimex(&clock); return result == -1 ? -errno : result;
    case MACHINE_EPOLL: return try_epoll();
    case MACHINE_SPLICE: return try_splice();
    case MACHINE_PIPE: return try_pipe();
    case MACHINE_IP6: return try_ip6();
    case MACHINE_REUSEPORT: return try_reuseport();
    case MACHINE_MEMFD: result = memfd_create("sluice", MFD_CLOEXEC); return done(&result, 1, result == -1, 1);
    case MACHINE_OPENAT2: return try_openat2();
    case MACHINE_NOWAIT: return try_nowait();
    case MACHINE_KTLS: return try_ktls();
    case MACHINE_MPTCP: return try_mptcp();
    case MACHINE_TRANSPARENT: return try_transparent();
    case MACHINE_DEVICE: return try_device();
    default: return -EINVAL;
    }
}

/* As <linux/sched/types.h> has it; glibc knows it since 2.41 only. */
struct attributes { uint32_t size, policy; uint64_t flags; int32_t nice; uint32_t priority; uint64_t runtime, deadline, period; };

/* Asks the kernel to run the calling thread as soon as it wakes, before others that have had less of a long turn: its own
 * turns are short (sched_setattr(2): the slice of a thread, since Linux 6.12; before, nothing comes of it). It gets no more
 * of the processor by that. 0, or why not. */
int32_t sl_run_soon(void)
{
    struct attributes own = { .size = sizeof own };
    if (syscall(SYS_sched_getattr, 0, &own, sizeof own, 0) == -1)
        return -errno;
    own.size = sizeof own;
    own.runtime = SLICE_NS;
    return syscall(SYS_sched_setattr, 0, &own, 0) == -1 ? -errno : 0;
}
