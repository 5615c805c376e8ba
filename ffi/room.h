/* room.h: what the C files share and TypeScript does not see. The invariant: an fd of a slot is in
 * exactly one room's slots[], and its row in fds[] names that room, the slot and its generation. */
#ifndef ROOM_H
#define ROOM_H

#define _GNU_SOURCE
#include "sluice.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

struct sl_tls;
struct sl_introduction;
struct sl_ready;
struct ssl_ctx_st;
struct ssl_session_st;
struct bio_st;
/* <name>: whom the server was asked to be, as a hash. */
struct sl_kept_session { struct ssl_session_st *session; int32_t profile, changes; uint64_t name; };

struct sl_pipe { int32_t read_fd, write_fd; }; /* stored + 1: zero means closed */

/* One reactor (or the control plane). Tables are mapped whole and committed by touch. Aligned: what one
 * thread writes shares no cache line with another's. */
struct sl_room {
    _Alignas(64) int32_t epoll_fd;
    int32_t event_fd;
    int32_t slot_count, pipe_count;
    uint32_t arena_bytes;
    uint8_t *arena;
    int32_t *slots;        /* slot -> fd + 1, and SLOT_TLS, SLOT_NAMED, SLOT_INTRODUCED; zero means none */
    struct sl_tls **tls;   /* slot -> its session; looked at only under SLOT_TLS */
    char **names;          /* slot -> the name its client asked for; only under SLOT_NAMED */
    struct sl_introduction **introductions; /* slot -> what a proxy told of its client; only under SLOT_INTRODUCED */
    struct ssl_ctx_st **contexts;     /* profile -> what this room made of it */
    struct sl_ready **ready;          /* profile -> what its context is made of */
    struct sl_kept_session *sessions; /* server -> the session to resume */
    struct bio_st *bio;               /* of all sessions */
    struct sl_pipe *pipes; /* pipe -> its two ends */
    int32_t slots_held, pipes_held, sessions_end;
    _Atomic int32_t open, entered;
};

/* One fd of a connection, found again by the number epoll gives back. */
struct sl_fd {
    uint32_t serial;  /* which use of this fd number: a late event carries an older one */
    uint32_t gen;     /* the slot's generation */
    int32_t slot;     /* 0: a newcomer, or free */
    _Atomic int16_t room; /* meaningful while serial is not 0 */
    int16_t listener; /* which accepted it; -1: a connection of ours */
    int32_t source;   /* a newcomer's: who it is counted for; see sl_charge */
    uint8_t pieces;   /* 1: a unix socket, whoever its peer is said to be; see SL_PIECES */
    uint8_t peer[SL_PEER_BYTES];
};

/* In slots[]: the slot's bytes are a session's, not the socket's. fds are below 2^24. */
#define SLOT_TLS (1 << 30)
/* The client's TLS is passed on as it is; the name it asked for is kept. */
#define SLOT_NAMED (1 << 29)
/* A PROXY header came with the client; what it told is kept. */
#define SLOT_INTRODUCED (1 << 28)

/* Serials that are no use of an fd number. */
#define SERIAL_MAX 0xfffffff0u
#define SERIAL_HELD 0xfffffff1u  /* accepted, not yet registered with any room */
#define TAG_LISTENER 0xfffffffeu /* a listening socket: the low half is its index */
#define TAG_DATAGRAMS 0xfffffffdu /* a listening socket of datagrams, likewise */
#define TAG_EVENTFD 0xffffffffu  /* the room's own eventfd */

extern struct sl_room sl_rooms[SL_ROOMS_MAX];
extern struct sl_fd *sl_fds;
extern int32_t sl_fds_max;
extern _Atomic int32_t sl_listeners[SL_LISTENERS_MAX]; /* fd + 1; zero means closed */
extern int32_t sl_udp_family[SL_LISTENERS_MAX];
extern _Thread_local struct sl_room *me;
extern _Thread_local int32_t my_index;

/* What epoll keeps with an fd: which use of it, and the number. */
static inline uint64_t tag(uint32_t serial, uint32_t low) { return (uint64_t)serial << 32 | low; }

/* What every connection is registered for, once. */
#define EVERYTHING (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET)
/* Without what arriving bytes wake up: the kernel wakes readers of urgent data with them too. */
#define MUTED (EPOLLOUT | EPOLLRDHUP | EPOLLET)
/* Of datagrams: each that left would make an event of room to send. */
#define ARRIVING (EPOLLIN | EPOLLET)

/* Returns -EBUG from the calling function: abort() would end every reactor of the process. */
#define CHECK(condition) do { if (!(condition)) return -SL_EBUG; } while (0)
#define CHECK_SLOT(slot) CHECK(me != NULL && (slot) > 0 && (slot) < me->slot_count)
/* Of an entry of slots[]; -1: there is none. */
#define FD_IN(entry) (((entry) & ~(SLOT_TLS | SLOT_NAMED | SLOT_INTRODUCED)) - 1)
#define FD(slot) FD_IN(me->slots[slot])
#define CHECK_PIPE(pipe) CHECK(me != NULL && (pipe) > 0 && (pipe) < me->pipe_count)
#define CHECK_ARENA(off, len) \
    CHECK(me != NULL && (len) >= 0 && (uint32_t)(len) <= me->arena_bytes && \
          (off) <= me->arena_bytes - (uint32_t)(len))

/* The calls of every message go past libc's wrappers: those are cancellation points, and in a process
 * with threads each pays two atomic operations for a feature that nobody here uses (0.1 us of a
 * request's 0.6 in user space). The contract is the wrapper's: -1 and errno. */
#define RAW_RECV(fd, at, len, flags) syscall(SYS_recvfrom, fd, at, len, flags, NULL, NULL)
#define RAW_SEND(fd, at, len, flags) syscall(SYS_sendto, fd, at, len, flags, NULL, 0)
#define RAW_SPLICE(in, out, len, flags) syscall(SYS_splice, in, NULL, out, NULL, len, flags)
#define RAW_EPOLL_WAIT(epfd, events, max, ms) syscall(SYS_epoll_pwait, epfd, events, max, ms, NULL, 8)

/* room.c */
void sl_tell_time(void);
int32_t sl_fd_register(int32_t fd, int32_t room, int32_t slot, uint32_t gen, int32_t listener, uint32_t events);
void sl_fd_seen(int32_t fd);
void sl_fd_forget(int32_t fd);
void sl_close_fd(int32_t fd, int32_t reset);
/* address.c */
socklen_t sl_address_read(const uint8_t *record, struct sockaddr_storage *address);
void sl_address_write(const struct sockaddr_storage *address, socklen_t length, uint8_t *record, int32_t bytes);
/* introduction.c */
const uint8_t *sl_preface(int32_t slot, int32_t *bytes);
void sl_introduction_forget(struct sl_room *room, int32_t slot);
/* udp.c */
int sl_udp_prepare(int fd, int family);
void sl_udp_grow(int fd);
/* pattern.c */
void sl_pattern_leave(void);

#endif
