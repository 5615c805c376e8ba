/* inherited.c: sockets that were open when the process began: a service manager's, or those of the Sluice before this
 * one. They become listening sockets of the process's table as they are; nothing is bound anew. Only the control plane
 * calls. */
#include "socket.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

/* What sl_inherited tells, besides the address. */
enum { INHERITED_DATAGRAMS = 1, INHERITED_SHARED = 2, INHERITED_V6ONLY = 4 };

static int fact(int fd, int level, int name)
{
    int value = 0;
    socklen_t length = sizeof value;
    return getsockopt(fd, level, name, &value, &length) == -1 ? -1 : value;
}

/* What kind of socket an fd is: as sl_inherited returns it. */
static int32_t kind_of(int fd, struct sockaddr_storage *address, socklen_t *length)
{
    struct sockaddr_storage peer;
    socklen_t peer_length = sizeof peer;
    int type = SOCK_RAW, protocol = -1, listens = 0;
    socklen_t one = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &one) == -1)
        return -errno;
    protocol = fact(fd, SOL_SOCKET, SO_PROTOCOL), listens = fact(fd, SOL_SOCKET, SO_ACCEPTCONN);
    *length = sizeof *address;
    if (getsockname(fd, (struct sockaddr *)address, length) == -1)
        return -errno;
    int family = address->ss_family, is_ip = family == AF_INET || family == AF_INET6;
    int flags = is_ip && fact(fd, SOL_SOCKET, SO_REUSEPORT) == 1 ? INHERITED_SHARED : 0;
    if (family == AF_INET6 && fact(fd, SOL_IPV6, IPV6_V6ONLY) == 1)
        flags |= INHERITED_V6ONLY;
    if (!is_ip && family != AF_UNIX)
        return -EAFNOSUPPORT;
    if (type == SOCK_STREAM && (!is_ip || protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP))
        return listens == 1 ? flags : -EINVAL;
    if (type != SOCK_DGRAM || !is_ip || protocol != IPPROTO_UDP)
        return -EPROTOTYPE;
    if (getpeername(fd, (struct sockaddr *)&peer, &peer_length) == 0)
        return -EISCONN;
    in_port_t port = family == AF_INET ? ((struct sockaddr_in *)address)->sin_port
                                       : ((struct sockaddr_in6 *)address)->sin6_port;
    return port != 0 ? flags | INHERITED_DATAGRAMS : -EINVAL;
}

/* What socket <fd> is, that somebody else opened: writes where it is bound, and returns bits: 1 it takes datagrams,
 * 2 others may share its port (SO_REUSEPORT), 4 it is of IPv6 alone (IPV6_V6ONLY). From here on it is closed on exec.
 * -EBADF no fd; -ENOTSOCK; -EAFNOSUPPORT neither IP nor unix; -EPROTOTYPE a kind that nothing here listens with (unix
 * datagrams, SOCK_SEQPACKET, SCTP, raw); -EINVAL a stream that does not listen, or datagrams that are not bound;
 * -EISCONN datagrams of one peer. */
int32_t sl_inherited(int32_t fd, uint32_t off)
{
    CHECK_ARENA(off, SL_ADDRESS_BYTES);
    struct sockaddr_storage address;
    socklen_t length;
    int32_t kind = kind_of(fd, &address, &length);
    if (kind < 0)
        return kind;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) == -1)
        return -errno;
    sl_address_write(&address, length, me->arena + off, SL_ADDRESS_BYTES);
    return kind;
}

/* Closes what nobody wants. -EBADF. */
int32_t sl_inherited_close(int32_t fd) { return close(fd) == -1 ? -errno : 0; }

/* Makes the listening socket <listener> of an fd that is one (see sl_inherited, whose errors it has), for connections
 * or for datagrams: it is closed on exec and does not block from here on, and has what sl_listen and sl_udp_listen
 * give to theirs. A unix path stays when it is closed (see sl_listener_path). Returns 0. */
int32_t sl_listener_adopt(int32_t listener, int32_t fd)
{
    CHECK(listener >= 0 && listener < SL_LISTENERS_MAX && atomic_load(&sl_listeners[listener]) == 0);
    struct sockaddr_storage address;
    socklen_t length;
    int32_t kind = kind_of(fd, &address, &length);
    if (kind < 0)
        return kind;
    int family = address.ss_family, on = 1, flags = fcntl(fd, F_GETFL);
    if (flags == -1 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) == -1 || fcntl(fd, F_SETFD, FD_CLOEXEC) == -1)
        return -errno;
    if (kind & INHERITED_DATAGRAMS) {
        if (sl_udp_prepare(fd, family) == -1)
            return -errno;
        sl_udp_grow(fd);
        sl_udp_family[listener] = family;
    } else if (family != AF_UNIX && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == -1)
        return -errno;
    atomic_store(&sl_listeners[listener], fd + 1);
    return 0;
}

/* Gives a listening socket that is open another <backlog>, and the settings <socket> (0: none). Returns 0, or what an
 * option fails by (see sl_socket_flaw): IPV6_V6ONLY is what it was when it was bound. */
int32_t sl_listener_tune(int32_t listener, int32_t backlog, int32_t socket)
{
    const struct sl_socket *of = sl_socket_get(socket);
    CHECK(of != NULL || socket == 0);
    CHECK(listener >= 0 && listener < SL_LISTENERS_MAX && atomic_load(&sl_listeners[listener]) != 0 && backlog > 0);
    CHECK(sl_udp_family[listener] == 0);
    int fd = atomic_load(&sl_listeners[listener]) - 1;
    if (listen(fd, backlog) == -1)
        return -errno;
    return of == NULL ? 0 : sl_socket_listens(of, fd, fact(fd, SOL_SOCKET, SO_DOMAIN));
}
