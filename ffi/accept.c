/* accept.c: listening sockets, and connections that nobody has a slot for yet.
 *
 * Listening sockets belong to the process: the control plane opens and closes them, a reactor only
 * watches them, so no death of a thread loses a queue. A connection between sl_accept and sl_adopt
 * is a token (opaque to TypeScript); its row in fds[] says which room it was handed to. */
#include "socket.h"

#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Flags of sl_listen. */
enum { LISTEN_REUSEPORT = 1, LISTEN_DRY = 2 };

/* Which file a unix listener made: another process may have put its own in its place since. */
static struct { dev_t device; ino_t inode; } made[SL_LISTENERS_MAX];

/* A unix path left by a process that is gone answers ECONNREFUSED: only then it is removed. */
static int stale(const struct sockaddr_storage *address, socklen_t length)
{
    struct stat status;
    const char *path = ((const struct sockaddr_un *)address)->sun_path;
    if (lstat(path, &status) == -1 || !S_ISSOCK(status.st_mode))
        return 0;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd == -1)
        return 0;
    int refused = connect(fd, (const struct sockaddr *)address, length) == -1 && errno == ECONNREFUSED;
    close(fd);
    return refused && unlink(path) == 0;
}

/* Remembers the file that is at its path. */
static void own(int32_t listener, const struct sockaddr_storage *address)
{
    struct stat status;
    if (lstat(((const struct sockaddr_un *)address)->sun_path, &status) == 0)
        made[listener].device = status.st_dev, made[listener].inode = status.st_ino;
}

/* Opens listening socket <listener> on the address record at <address_off>: socket(2), bind(2),
 * listen(2). An IPv6 wildcard is dual-stack. TCP_NODELAY is set here, once: accepted sockets inherit
 * it. <flags> 1: SO_REUSEPORT; 2: only tries, and closes again. <socket>: its settings (0: none), which accepted
 * sockets inherit. Returns 0; -EADDRINUSE, -EACCES, -EADDRNOTAVAIL, ... as bind does, and what an option fails by
 * (see sl_socket_flaw). */
int32_t sl_listen(int32_t listener, uint32_t address_off, int32_t flags, int32_t backlog, int32_t socket)
{
    const struct sl_socket *of = sl_socket_get(socket);
    CHECK(of != NULL || socket == 0);
    CHECK(listener >= 0 && listener < SL_LISTENERS_MAX && atomic_load(&sl_listeners[listener]) == 0 && backlog > 0);
    CHECK_ARENA(address_off, SL_ADDRESS_BYTES);
    struct sockaddr_storage address;
    socklen_t length = sl_address_read(me->arena + address_off, &address);
    CHECK(length > 0);
    CHECK(!(flags & LISTEN_DRY) || address.ss_family != AF_UNIX);

    int family = address.ss_family, on = 1, off = 0;
    int fd = sl_socket_make(of, family), made_path = 0;
    if (fd < 0)
        return fd;
    if ((family != AF_UNIX && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == -1) ||
        (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == -1) ||
        ((flags & LISTEN_REUSEPORT) && family != AF_UNIX &&
         setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == -1) ||
        (family != AF_UNIX && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == -1))
        goto failed;
    if (of != NULL && (errno = -sl_socket_listens(of, fd, family)) != 0)
        goto failed;
    if (bind(fd, (struct sockaddr *)&address, length) == -1) {
        if (errno != EADDRINUSE)
            goto failed;
        if (family != AF_UNIX || !stale(&address, length)) {
            errno = EADDRINUSE;
            goto failed;
        }
        if (bind(fd, (struct sockaddr *)&address, length) == -1)
            goto failed;
    }
    if (flags & LISTEN_DRY) {
        close(fd);
        return 0;
    }
    made_path = family == AF_UNIX;
    if (made_path && of != NULL && (errno = -sl_socket_owns(of, ((struct sockaddr_un *)&address)->sun_path)) != 0)
        goto failed;
    if (listen(fd, backlog) == -1)
        goto failed;
    if (made_path)
        own(listener, &address);
    atomic_store(&sl_listeners[listener], fd + 1);
    return 0;
failed:;
    int error = errno;
    if (made_path)
        unlink(((struct sockaddr_un *)&address)->sun_path);
    close(fd);
    return -error;
}

/* Writes the address a listening socket is bound to (the port the kernel chose): getsockname(2). */
int32_t sl_listener_address(int32_t listener, uint32_t off)
{
    CHECK(listener >= 0 && listener < SL_LISTENERS_MAX && atomic_load(&sl_listeners[listener]) != 0);
    CHECK_ARENA(off, SL_ADDRESS_BYTES);
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    if (getsockname(atomic_load(&sl_listeners[listener]) - 1, (struct sockaddr *)&address, &length) == -1)
        return -errno;
    sl_address_write(&address, length, me->arena + off, SL_ADDRESS_BYTES);
    return 0;
}

/* Connections that wait in a listening socket's queue to be accepted (<which> 0), or how many may (1; the kernel takes
 * one more): TCP_INFO, tcp(7), which tells them of listening sockets as tcpi_unacked and tcpi_sacked. -EOPNOTSUPP of
 * unix sockets and those of datagrams: the kernel tells no such thing. */
int32_t sl_listener_queue(int32_t listener, int32_t which)
{
    CHECK(listener >= 0 && listener < SL_LISTENERS_MAX && atomic_load(&sl_listeners[listener]) != 0);
    CHECK(which == 0 || which == 1);
    struct tcp_info info;
    socklen_t length = sizeof info;
    if (sl_udp_family[listener] != 0)
        return -EOPNOTSUPP;
    if (getsockopt(atomic_load(&sl_listeners[listener]) - 1, IPPROTO_TCP, TCP_INFO, &info, &length) == -1)
        return -errno;
    return (int32_t)(which == 0 ? info.tcpi_unacked : info.tcpi_sacked);
}

/* Lets no further connection into a listening socket's queue: a filter that drops what arrives
 * (SO_ATTACH_FILTER, socket(7)). What is in the queue can still be accepted; only then it is closed, and
 * nobody who was let in is reset. Unix sockets have no such filter: 0 all the same. */
int32_t sl_listener_stop(int32_t listener)
{
    CHECK(listener >= 0 && listener < SL_LISTENERS_MAX && atomic_load(&sl_listeners[listener]) != 0);
    int family = AF_UNSPEC;
    socklen_t length = sizeof family;
    int fd = atomic_load(&sl_listeners[listener]) - 1;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &length) == 0 && family == AF_UNIX)
        return 0;
    struct sock_filter drop = { .code = BPF_RET | BPF_K, .k = 0 };
    struct sock_fprog program = { .len = 1, .filter = &drop };
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == -1 ? -errno : 0;
}

/* Whether the path of a listening socket is unlinked when it is closed: <ours> 1 it is, as long as it is the file that
 * is there now; 0 it stays, since another process listens there as well. 0 for sockets without one. */
int32_t sl_listener_path(int32_t listener, int32_t ours)
{
    CHECK(listener >= 0 && listener < SL_LISTENERS_MAX && atomic_load(&sl_listeners[listener]) != 0);
    struct sockaddr_storage address = { 0 };
    socklen_t length = sizeof address;
    made[listener].inode = 0;
    if (!ours)
        return 0;
    if (getsockname(atomic_load(&sl_listeners[listener]) - 1, (struct sockaddr *)&address, &length) == -1)
        return -errno;
    if (address.ss_family == AF_UNIX && ((struct sockaddr_un *)&address)->sun_path[0] != '\0')
        own(listener, &address);
    return 0;
}

/* Closes a listening socket; a unix path that it made is unlinked. Reactors must have stopped watching. */
int32_t sl_listener_close(int32_t listener)
{
    CHECK(listener >= 0 && listener < SL_LISTENERS_MAX && atomic_load(&sl_listeners[listener]) != 0);
    int fd = atomic_load(&sl_listeners[listener]) - 1;
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    struct stat status;
    if (made[listener].inode != 0 && getsockname(fd, (struct sockaddr *)&address, &length) == 0 &&
        address.ss_family == AF_UNIX && lstat(((struct sockaddr_un *)&address)->sun_path, &status) == 0 &&
        status.st_dev == made[listener].device && status.st_ino == made[listener].inode)
        unlink(((struct sockaddr_un *)&address)->sun_path);
    atomic_store(&sl_listeners[listener], 0);
    made[listener].inode = 0;
    sl_udp_family[listener] = 0;
    return close(fd) == -1 ? -errno : 0;
}

/* Adds (<on> 1) or removes (0) a listening socket from the caller's epoll set, level-triggered.
 * Asking for what already is so is no error. */
int32_t sl_watch(int32_t listener, int32_t on)
{
    CHECK(me != NULL && listener >= 0 && listener < SL_LISTENERS_MAX && atomic_load(&sl_listeners[listener]) != 0);
    uint32_t what = sl_udp_family[listener] == 0 ? TAG_LISTENER : TAG_DATAGRAMS;
    struct epoll_event event = { .events = EPOLLIN, .data.u64 = tag(what, (uint32_t)listener) };
    int fd = atomic_load(&sl_listeners[listener]) - 1;
    if (epoll_ctl(me->epoll_fd, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, fd, &event) == -1)
        return errno == (on ? EEXIST : ENOENT) ? 0 : -errno;
    return 0;
}

/* Takes one connection from a listening socket: accept4(2). Returns its token (> 0), to be given to
 * sl_hand or sl_refuse at once; -EAGAIN when none waits; -EMFILE, -ENFILE, -ENOBUFS, -ENOMEM when the
 * process or the system is out of fds or memory; -ECONNABORTED and the network's errors for one that
 * is already gone (accept(2): go on with the next). */
int32_t sl_accept(int32_t listener)
{
    CHECK(me != NULL && listener >= 0 && listener < SL_LISTENERS_MAX && atomic_load(&sl_listeners[listener]) != 0);
    CHECK(sl_udp_family[listener] == 0);
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    int fd;
    do fd = accept4(atomic_load(&sl_listeners[listener]) - 1, (struct sockaddr *)&address, &length,
                    SOCK_CLOEXEC | SOCK_NONBLOCK);
    while (fd == -1 && errno == EINTR);
    if (fd == -1)
        return -errno;
    if (fd >= sl_fds_max) {
        close(fd);
        return -EMFILE;
    }
    struct sl_fd *f = &sl_fds[fd];
    f->listener = (int16_t)listener, f->slot = 0, f->source = 0;
    f->serial = SERIAL_HELD; /* not registered yet: a reap finds and closes it */
    atomic_store(&f->room, (int16_t)my_index);
    sl_fd_seen(fd);
    sl_address_write(&address, length, f->peer, SL_PEER_BYTES);
    f->pieces = address.ss_family == AF_UNIX;
    return fd;
}

/* Writes the peer record of a token, as accept(2) told it: no system call. */
int32_t sl_caller(int32_t token, uint32_t off)
{
    CHECK(me != NULL && token > 0 && token < sl_fds_max && sl_fds[token].serial != 0 && sl_fds[token].slot == 0);
    CHECK_ARENA(off, SL_PEER_BYTES);
    memcpy(me->arena + off, sl_fds[token].peer, SL_PEER_BYTES);
    return 0;
}

/* Keeps with a token the row of who it is counted for, until it has a slot: the room that takes it in must
 * know, and it may wait there for longer than that room's thread lives. */
int32_t sl_charge(int32_t token, int32_t source)
{
    CHECK(me != NULL && token > 0 && token < sl_fds_max && sl_fds[token].serial != 0 && sl_fds[token].slot == 0);
    sl_fds[token].source = source;
    return 0;
}

/* What sl_charge was told of a token; 0: nothing. */
int32_t sl_charged(int32_t token)
{
    CHECK(me != NULL && token > 0 && token < sl_fds_max && sl_fds[token].serial != 0 && sl_fds[token].slot == 0);
    return sl_fds[token].source;
}

/* Hands an accepted connection to <room>, the caller's own or another's, by adding it to that room's
 * epoll set, where it appears as SL_NEWCOMER. Returns 0; on -ENOMEM or -ENOSPC it is still the
 * caller's, to refuse. */
int32_t sl_hand(int32_t token, int32_t room)
{
    CHECK(me != NULL && token > 0 && token < sl_fds_max && sl_fds[token].serial != 0 && sl_fds[token].slot == 0);
    CHECK(room > 0 && room < SL_ROOMS_MAX && atomic_load(&sl_rooms[room].open));
    return sl_fd_register(token, room, 0, 0, sl_fds[token].listener, EVERYTHING);
}

/* Which listening socket a newcomer came through. */
int32_t sl_newcomer(int32_t token)
{
    CHECK(me != NULL && token > 0 && token < sl_fds_max && sl_fds[token].serial != 0 && sl_fds[token].slot == 0);
    return sl_fds[token].listener;
}

/* Gives a newcomer the slot <slot> of generation <gen>; its events name that slot from now on. The
 * readiness that came with the newcomer is the slot's. */
int32_t sl_adopt(int32_t token, int32_t slot, uint32_t gen)
{
    CHECK_SLOT(slot);
    CHECK(token > 0 && token < sl_fds_max && me->slots[slot] == 0);
    struct sl_fd *f = &sl_fds[token];
    CHECK(f->serial != 0 && f->slot == 0 && atomic_load(&f->room) == my_index);
    f->slot = slot, f->gen = gen;
    me->slots[slot] = token + 1, me->slots_held++;
    return 0;
}

/* Closes a connection that gets no slot; <reset> 1: with a reset instead of a FIN. */
int32_t sl_refuse(int32_t token, int32_t reset)
{
    CHECK(me != NULL && token > 0 && token < sl_fds_max && sl_fds[token].serial != 0 && sl_fds[token].slot == 0);
    sl_close_fd(token, reset);
    return 0;
}
