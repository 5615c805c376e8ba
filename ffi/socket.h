/* socket.h: settings of sockets, between socket.c and those who make sockets. */
#ifndef SOCKET_H
#define SOCKET_H

#include "room.h"

#include <net/if.h>

/* Options, by number: what crosses is ours, not the platform's. Those behind UDP_GRO are of settings alone. */
enum { SOCKET_NODELAY, SOCKET_KEEPALIVE, SOCKET_KEEPIDLE, SOCKET_KEEPINTVL, SOCKET_KEEPCNT, SOCKET_USER_TIMEOUT,
       SOCKET_SNDBUF, SOCKET_RCVBUF, SOCKET_QUICKACK, SOCKET_UDP_GRO, SOCKET_DEFER_ACCEPT, SOCKET_FASTOPEN, SOCKET_FASTOPEN_CONNECT,
       SOCKET_V6ONLY, SOCKET_TRANSPARENT, SOCKET_MPTCP, SOCKET_MODE, SOCKET_UID, SOCKET_GID, SOCKET_DEVICE,
       SOCKET_SOURCE, SOCKET_OPTIONS };

/* Written whole before anybody reads it. */
struct sl_socket {
    uint32_t set; /* a bit for each option that has a value */
    int32_t value[SOCKET_OPTIONS];
    char device[IFNAMSIZ];            /* "": any */
    uint8_t source[SL_ADDRESS_BYTES]; /* an address record of family 0: any */
};

#define HAS(of, option) ((of)->set >> (option) & 1u)

const struct sl_socket *sl_socket_get(int32_t socket);
int sl_socket_make(const struct sl_socket *of, int family);
int sl_socket_listens(const struct sl_socket *of, int fd, int family);
int sl_socket_owns(const struct sl_socket *of, const char *path);
int sl_socket_sends(const struct sl_socket *of, int fd, int family, const uint8_t *client);
int sl_socket_connects(const struct sl_socket *of, int fd, int family, const uint8_t *client, int speaks);

#endif
