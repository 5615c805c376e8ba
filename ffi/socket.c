/* socket.c: what sockets are made with, by number: the options of a listener or of an upstream, and where its
 * connections come from. The control plane writes them before reactors hear of the number; who has none pays
 * nothing. One function, one setting. */
#include "socket.h"

#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

enum { LISTENS = 1, CONNECTS = 2, SENDS = 4 };

/* By option: where it is set, and on which sockets. A name of 0: it is no option of a socket that exists. */
static const struct { int level, name, on; } options[SOCKET_OPTIONS] = {
    [SOCKET_NODELAY] = { IPPROTO_TCP, TCP_NODELAY, LISTENS | CONNECTS },
    [SOCKET_KEEPALIVE] = { SOL_SOCKET, SO_KEEPALIVE, LISTENS | CONNECTS },
    [SOCKET_KEEPIDLE] = { IPPROTO_TCP, TCP_KEEPIDLE, LISTENS | CONNECTS },
    [SOCKET_KEEPINTVL] = { IPPROTO_TCP, TCP_KEEPINTVL, LISTENS | CONNECTS },
    [SOCKET_KEEPCNT] = { IPPROTO_TCP, TCP_KEEPCNT, LISTENS | CONNECTS },
    [SOCKET_USER_TIMEOUT] = { IPPROTO_TCP, TCP_USER_TIMEOUT, LISTENS | CONNECTS },
    [SOCKET_SNDBUF] = { SOL_SOCKET, SO_SNDBUF, LISTENS | CONNECTS },
    [SOCKET_RCVBUF] = { SOL_SOCKET, SO_RCVBUF, LISTENS | CONNECTS },
    [SOCKET_QUICKACK] = { IPPROTO_TCP, TCP_QUICKACK, LISTENS | CONNECTS },
    [SOCKET_DEFER_ACCEPT] = { IPPROTO_TCP, TCP_DEFER_ACCEPT, LISTENS },
    [SOCKET_FASTOPEN] = { IPPROTO_TCP, TCP_FASTOPEN, LISTENS },
};

static struct sl_socket *sockets[SL_SOCKETS_MAX];
static _Thread_local int32_t flaw = -1;

const struct sl_socket *sl_socket_get(int32_t socket)
{
    return socket > 0 && socket < SL_SOCKETS_MAX ? sockets[socket] : NULL;
}

/* Makes the settings <socket>, without any; what it had before is forgotten. -ENOMEM. */
int32_t sl_socket_open(int32_t socket)
{
    CHECK(socket > 0 && socket < SL_SOCKETS_MAX);
    if (sockets[socket] == NULL && (sockets[socket] = malloc(sizeof **sockets)) == NULL)
        return -ENOMEM;
    memset(sockets[socket], 0, sizeof **sockets);
    return 0;
}

/* Sets <option> of settings <socket>; values in the units of tcp(7) and socket(7): seconds for KEEPIDLE, KEEPINTVL
 * and DEFER_ACCEPT, milliseconds for USER_TIMEOUT, bytes for the buffers (of which the kernel takes twice as much). */
int32_t sl_socket_set(int32_t socket, int32_t option, int32_t value)
{
    CHECK(sl_socket_get(socket) != NULL && option >= 0 && option < SOCKET_OPTIONS);
    sockets[socket]->set |= 1u << option;
    sockets[socket]->value[option] = value;
    return 0;
}

/* Connections of settings <socket> come from the address of the record at <off>, with a port of the kernel's choice. */
int32_t sl_socket_source(int32_t socket, uint32_t off)
{
    CHECK(sl_socket_get(socket) != NULL);
    CHECK_ARENA(off, SL_ADDRESS_BYTES);
    CHECK(me->arena[off] == 4 || me->arena[off] == 6);
    memcpy(sockets[socket]->source, me->arena + off, SL_ADDRESS_BYTES);
    return 0;
}

/* Sockets of settings <socket> send and receive by one interface alone, whose name has <bytes> at <off>. */
int32_t sl_socket_device(int32_t socket, uint32_t off, int32_t bytes)
{
    CHECK(sl_socket_get(socket) != NULL && bytes > 0 && bytes < IFNAMSIZ);
    CHECK_ARENA(off, bytes);
    memset(sockets[socket]->device, 0, IFNAMSIZ);
    memcpy(sockets[socket]->device, me->arena + off, (size_t)bytes);
    return 0;
}

/* A socket for <family>, of MPTCP where that is asked for and the kernel has it. Returns an fd, or -errno. */
int sl_socket_make(const struct sl_socket *of, int family)
{
    int type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, fd = -1;
    flaw = -1; /* no option is to blame for a family that is not there, or for fds that are all taken */
    if (of != NULL && HAS(of, SOCKET_MPTCP) && family != AF_UNIX)
        fd = socket(family, type, IPPROTO_MPTCP);
    if (fd == -1)
        fd = socket(family, type, 0);
    return fd == -1 ? -errno : fd;
}

static int failed(int32_t option)
{
    flaw = option;
    return -errno;
}

static int be_transparent(int fd, int family)
{
    int on = 1;
    return family == AF_INET6 ? setsockopt(fd, SOL_IPV6, IPV6_TRANSPARENT, &on, sizeof on)
                              : setsockopt(fd, SOL_IP, IP_TRANSPARENT, &on, sizeof on);
}

/* Binds to the settings' interface. Who may not, need not where the socket is bound to it already: one that is
 * inherited is, where whoever opened it had the right. */
static int set_device(const struct sl_socket *of, int fd)
{
    char device[IFNAMSIZ] = "";
    socklen_t length = sizeof device;
    if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, of->device, IFNAMSIZ) == 0)
        return 0;
    int error = errno;
    if (error == EPERM && getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, &length) == 0 &&
        strncmp(device, of->device, IFNAMSIZ) == 0)
        return 0;
    errno = error;
    return failed(SOCKET_DEVICE);
}

/* The same of taking addresses that are not our own. */
static int set_transparent(int fd, int family)
{
    int level = family == AF_INET6 ? SOL_IPV6 : SOL_IP, is = 0;
    socklen_t length = sizeof is;
    if (be_transparent(fd, family) == 0)
        return 0;
    int error = errno;
    if (error == EPERM &&
        getsockopt(fd, level, family == AF_INET6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, &is, &length) == 0 && is)
        return 0;
    errno = error;
    return failed(SOCKET_TRANSPARENT);
}

static int set_all(const struct sl_socket *of, int fd, int family, int on)
{
    for (int32_t option = 0; option < SOCKET_OPTIONS; option++) {
        if (!HAS(of, option) || !(options[option].on & on))
            continue;
        const int *value = &of->value[option];
        if (setsockopt(fd, options[option].level, options[option].name, value, sizeof *value) == -1)
            return failed(option);
    }
    int result = of->device[0] == '\0' ? 0 : set_device(of, fd);
    return result != 0 || !HAS(of, SOCKET_TRANSPARENT) ? result : set_transparent(fd, family);
}

/* Sets what a listening socket is to have, before bind(2): accepted ones inherit it. */
int sl_socket_listens(const struct sl_socket *of, int fd, int family)
{
    flaw = -1;
    if (family == AF_UNIX)
        return 0;
    int only = of->value[SOCKET_V6ONLY], is = -1;
    socklen_t length = sizeof is;
    if (HAS(of, SOCKET_V6ONLY) && family == AF_INET6 && /* a bound socket refuses it, and one of a single address is it */
        (getsockopt(fd, SOL_IPV6, IPV6_V6ONLY, &is, &length) == -1 || is < only) &&
        setsockopt(fd, SOL_IPV6, IPV6_V6ONLY, &only, sizeof only) == -1)
        return failed(SOCKET_V6ONLY);
    return set_all(of, fd, family, LISTENS);
}

/* Whose the file of a unix listener is, and who may connect: between bind(2) and listen(2), when nobody can yet. */
int sl_socket_owns(const struct sl_socket *of, const char *path)
{
    flaw = -1;
    if (HAS(of, SOCKET_UID) || HAS(of, SOCKET_GID)) {
        uid_t uid = HAS(of, SOCKET_UID) ? (uid_t)of->value[SOCKET_UID] : (uid_t)-1;
        gid_t gid = HAS(of, SOCKET_GID) ? (gid_t)of->value[SOCKET_GID] : (gid_t)-1;
        if (lchown(path, uid, gid) == -1)
            return failed(HAS(of, SOCKET_UID) ? SOCKET_UID : SOCKET_GID);
    }
    if (HAS(of, SOCKET_MODE) && chmod(path, (mode_t)of->value[SOCKET_MODE]) == -1)
        return failed(SOCKET_MODE);
    return 0;
}

/* Binds a socket to where it is to come from: to <client>, an address record, if it is to come from there. The port is
 * chosen by connect(2): for TCP among those that are free for that very server. */
static int bind_source(const struct sl_socket *of, int fd, int family, const uint8_t *client)
{
    const uint8_t *record = HAS(of, SOCKET_TRANSPARENT) ? client : of->source;
    if (record == NULL || (record == of->source && record[0] == 0))
        return 0;
    struct sockaddr_storage source;
    uint8_t portless[SL_ADDRESS_BYTES] = { 0 };
    memcpy(portless, record, SL_PEER_BYTES);
    portless[2] = portless[3] = 0;
    socklen_t length = portless[0] == 1 ? 0 : sl_address_read(portless, &source);
    int on = 1;
    flaw = SOCKET_SOURCE;
    if (length == 0 || source.ss_family != family)
        return -ENODEV;
    if (setsockopt(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) == -1)
        return -errno;
    if (bind(fd, (struct sockaddr *)&source, length) == -1)
        return errno == EADDRNOTAVAIL ? -ENODEV : -errno;
    return 0;
}

/* Sets what a connecting socket is to have, and binds it to where it is to come from, which may be <client>. Returns 0
 * or -errno: -ENODEV for an address or an interface that is not there, and for an address of another family than the
 * server's. <speaks>: bytes follow at once, which may go with the SYN. */
int sl_socket_connects(const struct sl_socket *of, int fd, int family, const uint8_t *client, int speaks)
{
    flaw = -1;
    if (family == AF_UNIX)
        return 0;
    int on = 1, result = set_all(of, fd, family, CONNECTS);
    if (result != 0)
        return result;
    if (speaks && HAS(of, SOCKET_FASTOPEN_CONNECT) &&
        setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof on) == -1)
        return failed(SOCKET_FASTOPEN_CONNECT);
    return bind_source(of, fd, family, client);
}

/* The same of a socket of datagrams: where it comes from, and by which interface. All else is about connections. */
int sl_socket_sends(const struct sl_socket *of, int fd, int family, const uint8_t *client)
{
    flaw = -1;
    int result = set_all(of, fd, family, SENDS);
    return result != 0 ? result : bind_source(of, fd, family, client);
}

/* Makes a socket of <family> (4, 6) as settings <socket> are for connections, and closes it: 0, or why there can be
 * none. A source that is the client's is tried as far as it can be without one. */
int32_t sl_socket_try(int32_t socket, int32_t family)
{
    const struct sl_socket *of = sl_socket_get(socket);
    CHECK(of != NULL && (family == 4 || family == 6));
    int domain = family == 4 ? AF_INET : AF_INET6, fd = sl_socket_make(of, domain);
    if (fd < 0)
        return fd;
    int result = sl_socket_connects(of, fd, domain, NULL, 1);
    close(fd);
    return result;
}

/* Which option the last of sl_socket_try or sl_listen of this thread failed by; -1: none of them. */
int32_t sl_socket_flaw(void) { return flaw < 0 ? -1 : flaw; }
