/* sock.c: the socket of a slot. One function, one system call. */
#include "socket.h"
#include "tls.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <string.h>
#include <unistd.h>

#define OPTION_COUNT (SOCKET_UDP_GRO + 1)

/* Starts a connection for <slot> to the address record at <address_off>: socket(2), connect(2), and
 * registration. Returns 0 when it is already there (unix sockets), -EINPROGRESS while it is on its way
 * (readiness to write ends it: ask sl_outcome); any other -errno means that there is no socket:
 * -ECONNREFUSED, -ENETUNREACH, -EADDRNOTAVAIL (no port left), -EMFILE, -ENODEV (it is to come from an address or an
 * interface that is not there), ... <how> is the number of its settings (0: none), and the flags in sluice.h; with
 * SL_HOW_SPEAKS, 0 may also mean that the SYN waits for the first bytes. */
int32_t sl_connect(int32_t slot, uint32_t gen, uint32_t address_off, int32_t how)
{
    CHECK_SLOT(slot);
    CHECK_ARENA(address_off, 2 * SL_ADDRESS_BYTES);
    const struct sl_socket *of = sl_socket_get(how & SL_HOW_SOCKET);
    CHECK(of != NULL || how == 0);
    CHECK(me->slots[slot] == 0);
    struct sockaddr_storage address;
    socklen_t length = sl_address_read(me->arena + address_off, &address);
    CHECK(length > 0);
    int fd = sl_socket_make(of, address.ss_family);
    if (fd < 0)
        return fd;
    if (fd >= sl_fds_max) {
        close(fd);
        return -EMFILE;
    }
    int on = 1;
    if (address.ss_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (of != NULL) {
        const uint8_t *client = how & SL_HOW_CLIENT ? me->arena + address_off + SL_ADDRESS_BYTES : NULL;
        int error = sl_socket_connects(of, fd, address.ss_family, client, (how & SL_HOW_SPEAKS) != 0);
        if (error != 0) {
            close(fd);
            return error;
        }
    }
    int result = connect(fd, (struct sockaddr *)&address, length) == 0 ? 0 : -errno;
    if (result == -EINTR)
        result = -EINPROGRESS; /* connect(2): it goes on by itself */
    if (result != 0 && result != -EINPROGRESS) {
        close(fd);
        return result;
    }
    sl_fds[fd].pieces = address.ss_family == AF_UNIX;
    int error = sl_fd_register(fd, my_index, slot, gen, -1, EVERYTHING);
    if (error != 0) {
        close(fd);
        return error;
    }
    me->slots[slot] = fd + 1, me->slots_held++;
    return result;
}

/* What became of a connect: 0, or -errno from SO_ERROR (-ECONNREFUSED, -ETIMEDOUT, ...). */
int32_t sl_outcome(int32_t slot)
{
    CHECK_SLOT(slot);
    CHECK(me->slots[slot] != 0);
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(FD(slot), SOL_SOCKET, SO_ERROR, &error, &length) == -1)
        return -errno;
    return -error;
}

/* recv(2) with <flags>, or a session's SSL_read(3) or SSL_peek(3). */
static int32_t receive(int32_t slot, uint32_t off, int32_t len, int flags)
{
    CHECK_SLOT(slot);
    CHECK_ARENA(off, len);
    CHECK(len > 0 && me->slots[slot] != 0);
    if (me->slots[slot] & SLOT_TLS)
        return sl_tls_recv(slot, me->arena + off, len, flags == MSG_PEEK);
    ssize_t n;
    do n = RAW_RECV(FD(slot), me->arena + off, (size_t)len, flags);
    while (n == -1 && errno == EINTR);
    return n == -1 ? -errno : (int32_t)n;
}

/* Reads from <slot> into the arena at <off>: recv(2), or SSL_read(3) if it has a session. Returns bytes read (> 0), 0 at end of stream,
 * -EAGAIN when nothing is there, -ECONNRESET and others when the connection is broken.
 * <len> must be > 0, or recv's 0 would read as end of stream. */
int32_t sl_recv(int32_t slot, uint32_t off, int32_t len)
{
    return receive(slot, off, len, 0);
}

/* Reads like sl_recv and leaves the bytes where they are: recv(2) with MSG_PEEK. For when there is no
 * place to keep what a sink might not take. Returns and errors as sl_recv. */
int32_t sl_peek(int32_t slot, uint32_t off, int32_t len)
{
    return receive(slot, off, len, MSG_PEEK);
}

/* Reads bytes that were peeked at. TCP copies nothing (MSG_TRUNC, tcp(7)); other sockets and sessions do, to <off>.
 * Returns as sl_recv. */
int32_t sl_skip(int32_t slot, uint32_t off, int32_t len)
{
    return receive(slot, off, len, MSG_TRUNC);
}

/* Sends from the arena: send(2) with MSG_NOSIGNAL, or SSL_write(3). Returns bytes taken (> 0, may be fewer than asked),
 * -EAGAIN when the socket buffer is full, -EPIPE or -ECONNRESET when the peer is gone. <more> 1
 * (MSG_MORE) only when more is known to follow: the kernel keeps a tail back for 200 ms. */
int32_t sl_send(int32_t slot, uint32_t off, int32_t len, int32_t more)
{
    CHECK_SLOT(slot);
    CHECK_ARENA(off, len);
    CHECK(len > 0 && me->slots[slot] != 0);
    if (me->slots[slot] & SLOT_TLS)
        return sl_tls_send(slot, me->arena + off, len, more);
    ssize_t n;
    do n = RAW_SEND(FD(slot), me->arena + off, (size_t)len, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
    while (n == -1 && errno == EINTR);
    return n == -1 ? -errno : (int32_t)n;
}

/* Ends the sending half: shutdown(2) with SHUT_WR, behind the close_notify of a session. -ENOTCONN when the
 * peer has reset it; -EAGAIN when there is no room for the close_notify yet. */
int32_t sl_shutdown(int32_t slot)
{
    CHECK_SLOT(slot);
    CHECK(me->slots[slot] != 0);
    int32_t told = me->slots[slot] & SLOT_TLS ? sl_tls_shutdown(slot) : 0;
    if (told != 0)
        return told;
    return shutdown(FD(slot), SHUT_WR) == -1 ? -errno : 0;
}

/* Closes the slot's socket, with a reset if <reset>. The slot has none afterwards. */
int32_t sl_close(int32_t slot, int32_t reset)
{
    CHECK_SLOT(slot);
    CHECK(me->slots[slot] != 0);
    if (me->slots[slot] & SLOT_TLS)
        sl_tls_end(me, slot, reset);
    if (me->slots[slot] & SLOT_NAMED)
        sl_name_forget(me, slot);
    if (me->slots[slot] & SLOT_INTRODUCED)
        sl_introduction_forget(me, slot);
    sl_close_fd(FD(slot), reset);
    me->slots[slot] = 0, me->slots_held--;
    return 0;
}

/* Sets a socket option by its number in socket.h, up to QUICKACK; values in the units of tcp(7) and socket(7)
 * (seconds for KEEPIDLE and KEEPINTVL, milliseconds for USER_TIMEOUT, bytes for the buffers). */
int32_t sl_option(int32_t slot, int32_t option, int32_t value)
{
    static const struct { int level, name; } options[OPTION_COUNT] = {
        [SOCKET_NODELAY] = { IPPROTO_TCP, TCP_NODELAY },
        [SOCKET_KEEPALIVE] = { SOL_SOCKET, SO_KEEPALIVE },
        [SOCKET_KEEPIDLE] = { IPPROTO_TCP, TCP_KEEPIDLE },
        [SOCKET_KEEPINTVL] = { IPPROTO_TCP, TCP_KEEPINTVL },
        [SOCKET_KEEPCNT] = { IPPROTO_TCP, TCP_KEEPCNT },
        [SOCKET_USER_TIMEOUT] = { IPPROTO_TCP, TCP_USER_TIMEOUT },
        [SOCKET_SNDBUF] = { SOL_SOCKET, SO_SNDBUF },
        [SOCKET_RCVBUF] = { SOL_SOCKET, SO_RCVBUF },
        [SOCKET_QUICKACK] = { IPPROTO_TCP, TCP_QUICKACK },
        [SOCKET_UDP_GRO] = { SOL_UDP, UDP_GRO },
    };
    CHECK_SLOT(slot);
    CHECK(option >= 0 && option < OPTION_COUNT && me->slots[slot] != 0);
    return setsockopt(FD(slot), options[option].level, options[option].name, &value, sizeof value) == -1 ? -errno : 0;
}

/* Writes the peer record of an accepted connection, as accept(2) told it or the PROXY header that came with it
 * (sl_introduce): no system call. */
int32_t sl_client(int32_t slot, uint32_t off)
{
    CHECK_SLOT(slot);
    CHECK_ARENA(off, SL_PEER_BYTES);
    CHECK(me->slots[slot] != 0);
    memcpy(me->arena + off, sl_fds[FD(slot)].peer, SL_PEER_BYTES);
    return 0;
}

static int32_t name(int (*get)(int, struct sockaddr *, socklen_t *), int32_t slot, uint32_t off)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    if (get(FD(slot), (struct sockaddr *)&address, &length) == -1)
        return -errno;
    sl_address_write(&address, length, me->arena + off, SL_ADDRESS_BYTES);
    return 0;
}

/* Writes the slot's own address: getsockname(2). */
int32_t sl_sockname(int32_t slot, uint32_t off)
{
    CHECK_SLOT(slot);
    CHECK_ARENA(off, SL_ADDRESS_BYTES);
    CHECK(me->slots[slot] != 0);
    return name(getsockname, slot, off);
}

/* Writes the address of the slot's peer: getpeername(2). -ENOTCONN before the connect is done. */
int32_t sl_peername(int32_t slot, uint32_t off)
{
    CHECK_SLOT(slot);
    CHECK_ARENA(off, SL_ADDRESS_BYTES);
    CHECK(me->slots[slot] != 0);
    return name(getpeername, slot, off);
}
