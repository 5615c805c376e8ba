/* udp.c: datagrams. They move in batches: a place in the arena for SL_DATAGRAMS_MAX of them, at <off> their records
 * of SL_DATAGRAM_INTS int32 each, behind all records their buffers of SL_DATAGRAM_BYTES each:
 *   [0] bytes   [1] bytes of each but the last, if it stands for several of one sender (GRO); 0: it is one
 *   [2] 1: the kernel had to cut it (MSG_TRUNC): to be dropped; once it was sent, see sl_udp_send
 *   [3] where in its buffer it begins
 *   [4..9] peer record of the client   [10..15] the same of our own address that it asked, without a port
 * Borders of datagrams are kept: what the kernel joined on its way in (UDP_GRO), and what is joined here on its way
 * out (UDP_SEGMENT), says where each ends (udp(7)).
 *
 * The kernel shares clients out among the sockets of one port (SO_REUSEPORT) by a hash over the set: it is opened
 * once and kept whole, one socket for each reactor. */
#include "socket.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <unistd.h>

/* Flags of sl_udp_listen: it shares its port with the sockets to come; those join; or it is only tried. */
enum { UDP_SHARE = 1, UDP_DRY = 2, UDP_JOIN = 4 };

/* What waits in the kernel while its reactor is busy: the system's default holds some hundred datagrams. */
#define RECEIVE_BUFFER_BYTES (4 << 20)
/* Joined on their way out are only those that fit any path whole (RFC 8200 section 5), so it cannot fail for one. */
#define JOINED_BYTES_MAX 1232
#define JOINED_MAX 64 /* UDP_MAX_SEGMENTS of older kernels */
#define JOINED_SUM_MAX 65000
#define CONTROL_BYTES 128

int32_t sl_udp_family[SL_LISTENERS_MAX]; /* of a listening socket of datagrams; 0: it has connections */

typedef union { struct cmsghdr align; uint8_t bytes[CONTROL_BYTES]; } control_t;
typedef union { struct sockaddr any; struct sockaddr_in in; struct sockaddr_in6 in6; } address_t;

static int32_t *record_at(uint32_t off, int32_t index)
{
    return (int32_t *)(void *)(me->arena + off) + (size_t)index * SL_DATAGRAM_INTS;
}

static uint8_t *buffer_at(uint32_t off, int32_t index)
{
    return me->arena + off + SL_DATAGRAMS_MAX * SL_DATAGRAM_INTS * 4 + (size_t)index * SL_DATAGRAM_BYTES;
}

static uint8_t *datagram_at(uint32_t off, int32_t index)
{
    return buffer_at(off, index) + record_at(off, index)[3];
}

#define CHECK_BATCH(off, first, count) do { \
    CHECK_ARENA(off, SL_DATAGRAMS_MAX * (SL_DATAGRAM_INTS * 4 + SL_DATAGRAM_BYTES)); \
    CHECK((off) % 4 == 0 && (first) >= 0 && (count) > 0 && (first) + (count) <= SL_DATAGRAMS_MAX); } while (0)
#define CHECK_UDP(listener) \
    CHECK(me != NULL && (listener) >= 0 && (listener) < SL_LISTENERS_MAX && sl_udp_family[listener] != 0 && \
          atomic_load(&sl_listeners[listener]) != 0)

/* Has each datagram tell which of our addresses it came to. Returns 0, or -1 and errno. */
int sl_udp_prepare(int fd, int family)
{
    int on = 1;
    if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on) == -1)
        return -1;
    return setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
}

/* Has the kernel keep more for a listening socket, and join what belongs together, as far as it grants that. */
void sl_udp_grow(int fd)
{
    int on = 1, bytes = RECEIVE_BUFFER_BYTES;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) == -1)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes); /* as much as net.core.rmem_max grants */
    setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof on);
}

/* Opens listening socket <listener> for datagrams to the address record at <address_off>: socket(2), bind(2). An IPv6
 * wildcard is dual-stack. Each datagram tells which of our addresses it came to, so that the answer leaves from there
 * (IP_PKTINFO, ip(7); IPV6_RECVPKTINFO, ipv6(7)). <flags> 1: sockets may follow that share its port, with flag 4; the
 * first is bound alone, or a second process would silently share the port. 2: only binds, and closes again. Returns 0;
 * -EADDRINUSE, -EACCES, -EADDRNOTAVAIL, ... as bind does. */
int32_t sl_udp_listen(int32_t listener, uint32_t address_off, int32_t flags)
{
    CHECK(listener >= 0 && listener < SL_LISTENERS_MAX && atomic_load(&sl_listeners[listener]) == 0);
    CHECK_ARENA(address_off, SL_PEER_BYTES);
    CHECK(me->arena[address_off] != 1);
    struct sockaddr_storage address;
    socklen_t length = sl_address_read(me->arena + address_off, &address);
    CHECK(length > 0);

    int family = address.ss_family, on = 1, off = 0;
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd == -1)
        return -errno;
    if ((family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == -1) ||
        sl_udp_prepare(fd, family) == -1 ||
        ((flags & UDP_JOIN) && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == -1) ||
        bind(fd, (struct sockaddr *)&address, length) == -1 ||
        ((flags & UDP_SHARE) && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == -1)) {
        int error = errno;
        close(fd);
        return -error;
    }
    if (flags & UDP_DRY) {
        close(fd);
        return 0;
    }
    sl_udp_grow(fd);
    sl_udp_family[listener] = family;
    atomic_store(&sl_listeners[listener], fd + 1);
    return 0;
}

/* How many datagrams a listening socket lost since it was opened because its receive buffer was full: SO_MEMINFO,
 * socket(7). Modulo 2^31. */
int32_t sl_udp_lost(int32_t listener)
{
    CHECK_UDP(listener);
    uint32_t told[9] = { 0 }; /* SK_MEMINFO_VARS; the last is SK_MEMINFO_DROPS */
    socklen_t length = sizeof told;
    if (getsockopt(atomic_load(&sl_listeners[listener]) - 1, SOL_SOCKET, SO_MEMINFO, told, &length) == -1)
        return -errno;
    return (int32_t)(told[8] & 0x7fffffff);
}

/* Opens a socket for <slot> to the server at the address record at <address_off>: socket(2), connect(2), which only
 * notes where to; and registers it for what arrives and for errors (room to send is not waited for). <listener> and
 * the peer record at <client_off> are those of the client that it is for, -1 and 0 if it is for none. <how>: the
 * number of its settings, of which it has where it comes from and by which interface (0: none), and SL_HOW_CLIENT: it
 * comes from the client's own address. Returns 0; any -errno means that there is no socket: -ENETUNREACH, -ENODEV (no
 * such source, or none of the server's family), -EADDRNOTAVAIL (no port left), -EMFILE, ... */
int32_t sl_udp_connect(int32_t slot, uint32_t gen, uint32_t address_off, int32_t listener, uint32_t client_off,
                       int32_t how)
{
    CHECK_SLOT(slot);
    CHECK_ARENA(address_off, SL_PEER_BYTES);
    CHECK_ARENA(client_off, SL_PEER_BYTES);
    CHECK(me->slots[slot] == 0 && listener >= -1 && listener < SL_LISTENERS_MAX && me->arena[address_off] != 1);
    const struct sl_socket *of = sl_socket_get(how & SL_HOW_SOCKET);
    CHECK(of != NULL || how == 0);
    struct sockaddr_storage address;
    socklen_t length = sl_address_read(me->arena + address_off, &address);
    CHECK(length > 0);
    int fd = socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd == -1)
        return -errno;
    int error = fd >= sl_fds_max ? EMFILE : 0;
    if (error == 0 && of != NULL)
        error = -sl_socket_sends(of, fd, address.ss_family, how & SL_HOW_CLIENT ? me->arena + client_off : NULL);
    if (error == 0 && connect(fd, (struct sockaddr *)&address, length) == -1)
        error = errno == EAGAIN ? EADDRNOTAVAIL : errno;
    if (error == 0) {
        if (listener >= 0)
            memcpy(sl_fds[fd].peer, me->arena + client_off, SL_PEER_BYTES);
        else
            sl_fds[fd].peer[0] = 0;
        sl_fds[fd].pieces = 0;
        error = -sl_fd_register(fd, my_index, slot, gen, listener, ARRIVING);
    }
    if (error != 0) {
        close(fd);
        return -error;
    }
    me->slots[slot] = fd + 1, me->slots_held++;
    return 0;
}

/* Whom a message came to, and of what size its datagrams are. */
static void read_control(struct msghdr *message, int32_t *record)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
        struct sockaddr_storage own = { 0 };
        if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
            int segment;
            memcpy(&segment, CMSG_DATA(c), sizeof segment);
            record[1] = segment < record[0] ? segment : 0;
        } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            struct sockaddr_in *in = (struct sockaddr_in *)&own;
            in->sin_family = AF_INET, in->sin_addr = info.ipi_spec_dst;
            sl_address_write(&own, sizeof *in, (uint8_t *)(record + 10), SL_PEER_BYTES);
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            if (IN6_IS_ADDR_V4MAPPED(&info.ipi6_addr) || IN6_IS_ADDR_MULTICAST(&info.ipi6_addr))
                continue; /* IP_PKTINFO tells it too; or nothing can leave from there */
            struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&own;
            in6->sin6_family = AF_INET6, in6->sin6_addr = info.ipi6_addr;
            if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
                in6->sin6_scope_id = (uint32_t)info.ipi6_ifindex;
            sl_address_write(&own, sizeof *in6, (uint8_t *)(record + 10), SL_PEER_BYTES);
        }
    }
}

/* recvmmsg(2) into [first, first + max) of a batch; the addresses are told if <named>. */
static int32_t receive(int fd, uint32_t off, int32_t first, int32_t max, int named)
{
    struct mmsghdr messages[SL_DATAGRAMS_MAX];
    struct iovec spans[SL_DATAGRAMS_MAX];
    address_t from[SL_DATAGRAMS_MAX];
    control_t control[SL_DATAGRAMS_MAX];
    for (int32_t i = 0; i < max; i++) {
        spans[i] = (struct iovec){ buffer_at(off, first + i), SL_DATAGRAM_BYTES };
        messages[i].msg_hdr = (struct msghdr){
            .msg_name = named ? &from[i] : NULL, .msg_namelen = named ? sizeof from[i] : 0,
            .msg_iov = &spans[i], .msg_iovlen = 1,
            .msg_control = &control[i], .msg_controllen = sizeof control[i],
        };
    }
    int n;
    do n = (int)syscall(SYS_recvmmsg, fd, messages, max, MSG_DONTWAIT, NULL);
    while (n == -1 && errno == EINTR);
    if (n == -1)
        return -errno;
    for (int32_t i = 0; i < n; i++) {
        int32_t *record = record_at(off, first + i);
        struct msghdr *message = &messages[i].msg_hdr;
        memset(record, 0, SL_DATAGRAM_INTS * 4);
        record[0] = (int32_t)messages[i].msg_len;
        record[2] = (message->msg_flags & MSG_TRUNC) != 0;
        if (named) {
            struct sockaddr_storage address;
            memcpy(&address, &from[i], sizeof from[i]);
            sl_address_write(&address, message->msg_namelen, (uint8_t *)(record + 4), SL_PEER_BYTES);
        }
        read_control(message, record);
    }
    return n;
}

/* Takes up to <max> datagrams that clients sent to listening socket <listener> into the batch at <off>: recvmmsg(2).
 * Returns how many; fewer than <max> and none is left. -EAGAIN: there is none. */
int32_t sl_udp_recv(int32_t listener, uint32_t off, int32_t max)
{
    CHECK_UDP(listener);
    CHECK_BATCH(off, 0, max);
    return receive(atomic_load(&sl_listeners[listener]) - 1, off, 0, max, 1);
}

/* Takes up to <max> datagrams of the server of <slot> into the batch at <off>, from record <first> on, which do not
 * tell any address. Returns as sl_udp_recv; -ECONNREFUSED and others when an earlier datagram of ours met nobody. */
int32_t sl_udp_read(int32_t slot, uint32_t off, int32_t first, int32_t max)
{
    CHECK_SLOT(slot);
    CHECK_BATCH(off, first, max);
    CHECK(me->slots[slot] != 0);
    return receive(FD(slot), off, first, max, 0);
}

static void put_control(struct msghdr *message, int level, int type, const void *data, size_t bytes)
{
    struct cmsghdr *c = (struct cmsghdr *)(void *)((uint8_t *)message->msg_control + message->msg_controllen);
    c->cmsg_level = level, c->cmsg_type = type, c->cmsg_len = CMSG_LEN(bytes);
    memcpy(CMSG_DATA(c), data, bytes);
    message->msg_controllen += CMSG_SPACE(bytes);
}

/* From which of our addresses a message leaves: the one that its client asked. */
static void put_own(struct msghdr *message, int family, const uint8_t *own)
{
    if (own[0] == 0)
        return;
    if (family == AF_INET) {
        struct in_pktinfo info = { 0 };
        memcpy(&info.ipi_spec_dst, own + 4, 4);
        put_control(message, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
        return;
    }
    struct in6_pktinfo info = { 0 };
    if (own[0] == 4) {
        memset(info.ipi6_addr.s6_addr + 10, 0xff, 2);
        memcpy(info.ipi6_addr.s6_addr + 12, own + 4, 4);
    } else {
        memcpy(&info.ipi6_addr, own + 4, 16);
        memcpy(&info.ipi6_ifindex, own + 20, 4);
    }
    put_control(message, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
}

/* The address that a socket of <family> sends to. */
static socklen_t read_client(address_t *to, int family, const uint8_t *record)
{
    struct sockaddr_storage address;
    socklen_t length = sl_address_read(record, &address);
    if (family == AF_INET6 && record[0] == 4) {
        memset(to, 0, sizeof *to);
        to->in6.sin6_family = AF_INET6;
        memcpy(&to->in6.sin6_port, record + 2, 2);
        memset(to->in6.sin6_addr.s6_addr + 10, 0xff, 2);
        memcpy(to->in6.sin6_addr.s6_addr + 12, record + 4, 4);
        return sizeof to->in6;
    }
    memcpy(to, &address, sizeof *to);
    return length;
}

/* How many records from <first> on leave as one message: those of one size to the same client, of which the last may
 * be shorter. */
static int32_t joined(uint32_t off, int32_t first, int32_t end, int named)
{
    const int32_t *record = record_at(off, first);
    int32_t bytes = record[0], sum = bytes, next = first + 1;
    if (record[1] != 0 || bytes == 0 || bytes > JOINED_BYTES_MAX)
        return 1;
    while (next < end && next - first < JOINED_MAX) {
        const int32_t *other = record_at(off, next);
        if (other[1] != 0 || other[0] == 0 || other[0] > bytes || sum + other[0] > JOINED_SUM_MAX ||
            (named && memcmp(other + 4, record + 4, 2 * SL_PEER_BYTES) != 0))
            break;
        sum += other[0], next++;
        if (other[0] < bytes)
            break;
    }
    return next - first;
}

/* Sends <message>, which is all of one datagram but what <span> is to point to. */
static int send_one(int fd, const struct msghdr *message, struct iovec *span, uint8_t *from, size_t bytes)
{
    *span = (struct iovec){ from, bytes };
    return sendmsg(fd, message, MSG_DONTWAIT | MSG_NOSIGNAL) == -1 ? errno : 0;
}

/* Sends the datagrams that record <index> stands for one by one. Returns 1, or why the first was not sent, with nothing
 * done. From here on the record is of those that were sent, and says how many were not: which they are matters to
 * nobody. */
static int32_t send_apart(int fd, const struct msghdr *message, struct iovec *span, uint32_t off, int32_t index)
{
    int32_t *record = record_at(off, index);
    uint8_t *from = datagram_at(off, index);
    int32_t all = record[0], piece = record[1], sent = 0, lost = 0, error = 0;
    for (int32_t at = 0; at < all; at += piece) {
        int32_t bytes = all - at < piece ? all - at : piece;
        if (error != EAGAIN && error != ENOBUFS)
            error = send_one(fd, message, span, from + at, (size_t)bytes);
        if (error != 0 && at == 0)
            return -error;
        if (error == 0)
            sent += bytes;
        else
            lost++;
    }
    record[0] = sent, record[2] = lost;
    return 1;
}

/* Sends a message whose datagrams the kernel will not cut apart by itself (no checksums on the way, IPsec, a path for
 * smaller ones) one by one: those of <count> records, or those that one stands for. Its control data says their size
 * last. Returns how many records were taken, or why the first was not. */
static int32_t send_pieces(int fd, struct msghdr *message, uint32_t off, int32_t first, int32_t count)
{
    struct iovec span;
    message->msg_controllen -= CMSG_SPACE(sizeof(uint16_t));
    if (message->msg_controllen == 0)
        message->msg_control = NULL;
    message->msg_iov = &span, message->msg_iovlen = 1;
    if (count == 1)
        return send_apart(fd, message, &span, off, first);
    for (int32_t i = 0; i < count; i++) {
        int error = send_one(fd, message, &span, datagram_at(off, first + i), (size_t)record_at(off, first + i)[0]);
        if (error != 0)
            return i > 0 ? i : -error; /* whoever asks for the rest is told why */
    }
    return count;
}

/* sendmmsg(2) of the records [first, first + count); to their clients if <family> is not 0. */
static int32_t transmit(int fd, int family, uint32_t off, int32_t first, int32_t count)
{
    struct mmsghdr messages[SL_DATAGRAMS_MAX];
    struct iovec spans[SL_DATAGRAMS_MAX];
    address_t to[SL_DATAGRAMS_MAX];
    control_t control[SL_DATAGRAMS_MAX];
    int32_t taken[SL_DATAGRAMS_MAX];
    int32_t made = 0, end = first + count;
    int is_joined = 0; /* the first message */
    for (int32_t next = first; next < end; made++) {
        const int32_t *record = record_at(off, next);
        struct msghdr *message = &messages[made].msg_hdr;
        *message = (struct msghdr){ .msg_iov = &spans[next - first], .msg_control = &control[made] };
        if (family != 0) {
            message->msg_name = &to[made];
            message->msg_namelen = read_client(&to[made], family, (const uint8_t *)(record + 4));
            put_own(message, family, (const uint8_t *)(record + 10));
        }
        taken[made] = joined(off, next, end, family != 0);
        message->msg_iovlen = (size_t)taken[made];
        for (int32_t i = 0; i < taken[made]; i++)
            spans[next - first + i] = (struct iovec){ datagram_at(off, next + i), (size_t)record_at(off, next + i)[0] };
        uint16_t segment = (uint16_t)(taken[made] > 1 ? record[0] : record[1]);
        if (segment != 0)
            put_control(message, SOL_UDP, UDP_SEGMENT, &segment, sizeof segment);
        if (made == 0)
            is_joined = segment != 0;
        if (message->msg_controllen == 0)
            message->msg_control = NULL;
        next += taken[made];
    }
    int n;
    do n = (int)syscall(SYS_sendmmsg, fd, messages, made, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n == -1 && errno == EINTR);
    if (n > 0) {
        int32_t sent = 0;
        for (int32_t i = 0; i < n; i++)
            sent += taken[i];
        return sent;
    }
    if (!is_joined || (errno != EINVAL && errno != EIO && errno != EMSGSIZE && errno != EOPNOTSUPP))
        return -errno;
    return send_pieces(fd, &messages[0].msg_hdr, off, first, taken[0]);
}

/* sendmmsg(2) of the records [first, first + count), each datagram behind a preface. Returns how many were taken, at
 * least one; or why the first was not. */
static int32_t transmit_behind(int fd, const uint8_t *preface, size_t preface_bytes, uint32_t off, int32_t first,
                               int32_t count)
{
    if (record_at(off, first)[1] != 0) {
        struct iovec both[2] = { { (void *)(uintptr_t)preface, preface_bytes } };
        struct msghdr message = { .msg_iov = both, .msg_iovlen = 2 };
        return send_apart(fd, &message, &both[1], off, first);
    }
    struct mmsghdr messages[SL_DATAGRAMS_MAX];
    struct iovec spans[2 * SL_DATAGRAMS_MAX];
    int32_t made = 0;
    for (; made < count && record_at(off, first + made)[1] == 0; made++) {
        struct iovec *span = &spans[2 * made];
        span[0] = (struct iovec){ (void *)(uintptr_t)preface, preface_bytes };
        span[1] = (struct iovec){ datagram_at(off, first + made), (size_t)record_at(off, first + made)[0] };
        messages[made].msg_hdr = (struct msghdr){ .msg_iov = span, .msg_iovlen = 2 };
    }
    int n;
    do n = (int)syscall(SYS_sendmmsg, fd, messages, made, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n == -1 && errno == EINTR);
    return n == -1 ? -errno : n;
}

/* Sends the records [first, first + count) of the batch at <off> to the server of <slot>: sendmmsg(2). Returns how
 * many were taken, at least one; or why the first was not: -ECONNREFUSED and others tell of an earlier one that met
 * nobody, -EAGAIN and -ENOBUFS that there is no room, -EMSGSIZE that it is longer than what can be sent there. Each
 * datagram is sent behind the slot's preface, if it has one (sl_udp_preface). Of a record that stands for several, some
 * may not have been sent after all: it says how many in [2], and is of the others; whoever takes it for sent counts
 * those as lost. */
int32_t sl_udp_send(int32_t slot, uint32_t off, int32_t first, int32_t count)
{
    CHECK_SLOT(slot);
    CHECK_BATCH(off, first, count);
    CHECK(me->slots[slot] != 0);
    int32_t preface_bytes = 0;
    const uint8_t *preface = sl_preface(slot, &preface_bytes);
    return preface == NULL ? transmit(FD(slot), 0, off, first, count)
                           : transmit_behind(FD(slot), preface, (size_t)preface_bytes, off, first, count);
}

/* Sends the records [first, first + count) of the batch at <off> through listening socket <listener> to the clients
 * that they name, each from the address that it names as ours: sendmmsg(2). Returns as sl_udp_send. */
int32_t sl_udp_answer(int32_t listener, uint32_t off, int32_t first, int32_t count)
{
    CHECK_UDP(listener);
    CHECK_BATCH(off, first, count);
    return transmit(atomic_load(&sl_listeners[listener]) - 1, sl_udp_family[listener], off, first, count);
}
