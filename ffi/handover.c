/* handover.c: what an upgrade needs of the kernel: another process, a socket to it that carries file descriptors
 * (SCM_RIGHTS, unix(7)), memory that is passed on and that nobody changes any more (memfd_create(2), seals), and
 * sockets that go from one process to the next. The control plane's calls, but for the two of slots; those that take
 * pointers read and write memory that TypeScript made.
 *
 * A socket that both processes have is one socket: shutdown(2), a filter or an option of one is the other's too. So
 * whoever gives one away takes it out of its epoll set and closes its fd, and does nothing else to it. */
#include "room.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define RIGHTS_MAX 253 /* SCM_MAX_FD */
#define WORDS_MAX 8192 /* arguments, or variables, of a process */
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

typedef union { struct cmsghdr align; uint8_t bytes[CMSG_SPACE(RIGHTS_MAX * sizeof(int))]; } rights_t;

/* Two ends of a connection that keeps the borders of messages: socketpair(2). They go to <fds>, two int32; neither
 * blocks, neither is there in a program that is started. -EMFILE, -ENFILE, -ENOBUFS. */
int32_t sl_handover_pair(uint8_t *fds)
{
    int ends[2];
    CHECK(fds != NULL);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == -1)
        return -errno;
    memcpy(fds, ends, sizeof ends);
    return 0;
}

/* Takes an end of such a connection that this process was started with: no program that it starts has it, and it does
 * not block. -EBADF no fd; -ENOTSOCK, -EPROTOTYPE something else. */
int32_t sl_handover_take(int32_t fd)
{
    CHECK(fd > 2);
    int type = 0, flags = fcntl(fd, F_GETFL);
    socklen_t length = sizeof type;
    if (flags == -1 || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == -1)
        return -errno;
    if (type != SOCK_SEQPACKET)
        return -EPROTOTYPE;
    if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) == -1 || fcntl(fd, F_SETFD, FD_CLOEXEC) == -1)
        return -errno;
    return 0;
}

/* Sends a message of <bytes> with <count> file descriptors (int32 each): sendmsg(2). Returns 0; -EAGAIN while the other
 * end has not read enough, -ETOOMANYREFS while too many descriptors of this user are on their way, -EMSGSIZE for one
 * that is too long, -EPIPE or -ECONNRESET when nobody is there, -EBADF for an fd that is none. */
int32_t sl_handover_send(int32_t fd, const uint8_t *message, int32_t bytes, const uint8_t *fds, int32_t count)
{
    CHECK(fd >= 0 && message != NULL && bytes > 0 && count >= 0 && count <= RIGHTS_MAX && (fds != NULL || count == 0));
    rights_t rights;
    struct iovec span = { (void *)(uintptr_t)message, (size_t)bytes };
    struct msghdr sent = { .msg_iov = &span, .msg_iovlen = 1 };
    if (count > 0) {
        memset(&rights, 0, sizeof rights);
        sent.msg_control = rights.bytes, sent.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&sent);
        c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
        memcpy(CMSG_DATA(c), fds, (size_t)count * sizeof(int));
    }
    ssize_t n;
    do n = sendmsg(fd, &sent, MSG_NOSIGNAL);
    while (n == -1 && errno == EINTR);
    return n == -1 ? -errno : 0;
}

/* Takes a message of at most <most> bytes into <into>, and its file descriptors, which no program that is started has,
 * into <fds>: how many, then each, int32. recvmsg(2). Returns bytes; 0 when the other end is gone. -EAGAIN: there is
 * none. -EMSGSIZE: it was longer, or descriptors were lost (no fd left); what came is closed again. */
int32_t sl_handover_recv(int32_t fd, uint8_t *into, int32_t most, uint8_t *fds)
{
    CHECK(fd >= 0 && into != NULL && most > 0 && fds != NULL);
    rights_t rights;
    struct iovec span = { into, (size_t)most };
    struct msghdr came = { .msg_iov = &span, .msg_iovlen = 1, .msg_control = rights.bytes,
                           .msg_controllen = sizeof rights };
    ssize_t n;
    do n = recvmsg(fd, &came, MSG_CMSG_CLOEXEC);
    while (n == -1 && errno == EINTR);
    if (n == -1)
        return -errno;
    int32_t count = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&came); c != NULL; c = CMSG_NXTHDR(&came, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        count = (int32_t)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(fds + sizeof count, CMSG_DATA(c), (size_t)count * sizeof(int));
    }
    if (came.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
        for (int32_t i = 0; i < count; i++) {
            int lost;
            memcpy(&lost, fds + (size_t)(i + 1) * sizeof lost, sizeof lost);
            close(lost);
        }
        count = 0, n = -EMSGSIZE;
    }
    memcpy(fds, &count, sizeof count);
    return (int32_t)n;
}

/* Closes an fd that one of these calls gave: close(2). */
int32_t sl_handover_close(int32_t fd)
{
    CHECK(fd > 2);
    return close(fd) == -1 && errno == EBADF ? -EBADF : 0; /* Linux frees it whatever else it says */
}

/* Memory with a copy of <bytes> that nobody can change any more: memfd_create(2), F_ADD_SEALS. Returns its fd; -EMFILE,
 * -ENFILE, -ENOMEM. */
int32_t sl_memfd_make(const uint8_t *from, int32_t bytes)
{
    CHECK(from != NULL && bytes > 0);
    int fd = memfd_create("sluice-upgrade", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd == -1)
        return -errno;
    for (int32_t at = 0; at < bytes;) {
        ssize_t n = write(fd, from + at, (size_t)(bytes - at));
        if (n <= 0 && errno != EINTR)
            goto failed;
        if (n > 0)
            at += (int32_t)n;
    }
    if (fcntl(fd, F_ADD_SEALS, SEALS) == 0)
        return fd;
failed:;
    int error = errno;
    close(fd);
    return -error;
}

/* How long such memory is: fstat(2). -EPERM if it is not sealed: whoever made it may still change it. */
int32_t sl_memfd_bytes(int32_t fd)
{
    struct stat status;
    CHECK(fd >= 0);
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals == -1 || (seals & SEALS) != SEALS)
        return -EPERM;
    if (fstat(fd, &status) == -1)
        return -errno;
    return status.st_size > INT32_MAX ? -EFBIG : (int32_t)status.st_size;
}

/* Reads <bytes> of such memory from <at> on: pread(2). Returns how many; 0 at its end. */
int32_t sl_memfd_read(int32_t fd, uint8_t *into, int32_t bytes, int32_t at)
{
    CHECK(fd >= 0 && into != NULL && bytes > 0 && at >= 0);
    ssize_t n;
    do n = pread(fd, into, (size_t)bytes, at);
    while (n == -1 && errno == EINTR);
    return n == -1 ? -errno : (int32_t)n;
}

/* Splits texts that end with a zero byte each. Returns how many, or -1. */
static int32_t split(const uint8_t *text, int32_t bytes, char **words)
{
    int32_t count = 0;
    if (bytes < 0 || (bytes > 0 && text[bytes - 1] != '\0'))
        return -1;
    for (int32_t at = 0; at < bytes; at += (int32_t)strlen((const char *)text + at) + 1) {
        if (count == WORDS_MAX)
            return -1;
        words[count++] = (char *)(uintptr_t)(text + at);
    }
    words[count] = NULL;
    return count;
}

/* Starts a program: posix_spawn(3). <words>: its path, then its arguments from the name on, each with a zero byte
 * behind it; <env>: its environment, likewise. It has standard input, output and error of this process, <kept> as its
 * descriptor 3, and nothing else; no signal is blocked or ignored. Returns its process id; -ENOENT, -EACCES, -ENOEXEC,
 * ... as execve(2); -E2BIG for too many words. */
int32_t sl_spawn(const uint8_t *words, int32_t bytes, const uint8_t *env, int32_t env_bytes, int32_t kept)
{
    static char *argv[WORDS_MAX + 1], *envp[WORDS_MAX + 1]; /* the control plane's thread alone comes here */
    CHECK(words != NULL && bytes > 0 && env != NULL && kept > 2);
    int32_t count = split(words, bytes, argv);
    if (count < 2 || split(env, env_bytes, envp) < 0)
        return -E2BIG;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    if (posix_spawn_file_actions_init(&actions) != 0)
        return -ENOMEM;
    if (posix_spawnattr_init(&attributes) != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return -ENOMEM;
    }
    pid_t pid = -1;
    int error = posix_spawn_file_actions_adddup2(&actions, kept, 3);
    if (error == 0)
        error = posix_spawn_file_actions_addclosefrom_np(&actions, 4);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    if (error == 0)
        error = posix_spawn(&pid, argv[0], &actions, &attributes, argv + 1, envp);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error != 0 ? -error : (int32_t)pid;
}

/* What became of a process that sl_spawn started: waitpid(2). Its exit status, 0 to 255; 256 and its signal when one
 * ended it; -EAGAIN while it runs. Once it was told, its number is nobody's: -ECHILD. */
int32_t sl_spawned(int32_t pid)
{
    int status;
    pid_t n;
    CHECK(pid > 1);
    do n = waitpid(pid, &status, WNOHANG);
    while (n == -1 && errno == EINTR);
    if (n == -1)
        return -errno;
    if (n == 0)
        return -EAGAIN;
    return WIFSIGNALED(status) ? 256 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* The fd of listening socket <listener>, to be sent: it stays where it is. */
int32_t sl_listener_fd(int32_t listener)
{
    CHECK(listener >= 0 && listener < SL_LISTENERS_MAX && atomic_load(&sl_listeners[listener]) != 0);
    return atomic_load(&sl_listeners[listener]) - 1;
}

/* The fd of slot <slot> of any <room>, likewise. -ENOENT when that slot has no socket. Its thread must not close it
 * meanwhile. */
int32_t sl_slot_fd(int32_t room, int32_t slot)
{
    CHECK(room >= 0 && room < SL_ROOMS_MAX && atomic_load(&sl_rooms[room].open));
    CHECK(slot > 0 && slot < sl_rooms[room].slot_count);
    int32_t fd = FD_IN(sl_rooms[room].slots[slot]);
    return fd < 0 ? -ENOENT : fd;
}

/* Makes <fd>, a connected socket of datagrams that another process opened, the slot's, as sl_udp_connect does: it is
 * registered for what arrives, and what waits in it is told at once. <listener> and the peer record at <client_off>:
 * as there. On an error the fd stays the caller's to close: -EMFILE, -ENOMEM, -ENOSPC. */
int32_t sl_udp_adopt(int32_t slot, uint32_t gen, int32_t fd, int32_t listener, uint32_t client_off)
{
    CHECK_SLOT(slot);
    CHECK_ARENA(client_off, SL_PEER_BYTES);
    CHECK(me->slots[slot] == 0 && fd > 2 && listener >= 0 && listener < SL_LISTENERS_MAX);
    if (fd >= sl_fds_max)
        return -EMFILE;
    memcpy(sl_fds[fd].peer, me->arena + client_off, SL_PEER_BYTES);
    sl_fds[fd].pieces = 0;
    int32_t error = sl_fd_register(fd, my_index, slot, gen, listener, ARRIVING);
    if (error != 0)
        return error;
    me->slots[slot] = fd + 1, me->slots_held++;
    return 0;
}

/* Takes the slot's socket out of the caller's epoll set: another process has it too, and closing it here would leave it
 * in (epoll(7), "Questions and answers"). All that is left to do with it is sl_close. */
int32_t sl_udp_yield(int32_t slot)
{
    CHECK_SLOT(slot);
    CHECK(me->slots[slot] != 0);
    return epoll_ctl(me->epoll_fd, EPOLL_CTL_DEL, FD(slot), NULL) == -1 ? -errno : 0;
}
