/* room.c: rooms, and the process-wide table that says whose each fd of a connection is.
 *
 * epoll's 64 bits hold (serial, fd); fds[fd] turns that into (slot, generation). So a connection is
 * registered once in its life, by whoever accepted it, and becomes a slot later without another
 * system call; and an event of an earlier user of the fd number is dropped when it is read. */
#include "tls.h"

#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

struct sl_room sl_rooms[SL_ROOMS_MAX];
struct sl_fd *sl_fds;
int32_t sl_fds_max;
static _Atomic int32_t fds_end; /* highest fd ever registered, plus 1: no scan need go further */
_Atomic int32_t sl_listeners[SL_LISTENERS_MAX];
_Thread_local struct sl_room *me;
_Thread_local int32_t my_index = -1;

/* Zeroed pages, committed by touch; NULL when there are none. */
static void *map(size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

/* The ABI's version, compared at start with the one TypeScript was written for. */
int32_t sl_abi(void) { return SL_ABI; }

/* Sizes that both sides must agree on: 0 address record, 1 peer record, 2 ints of an event,
 * 3 rooms, 4 listeners, 5 patterns, 6 EBUG, 7 datagrams of a batch, 8 ints and 9 bytes of each. -EINVAL for any
 * other. */
int32_t sl_record_bytes(int32_t which)
{
    static const int32_t sizes[] = { SL_ADDRESS_BYTES, SL_PEER_BYTES, SL_EVENT_INTS, SL_ROOMS_MAX,
                                     SL_LISTENERS_MAX, SL_PATTERNS_MAX, SL_EBUG,
                                     SL_DATAGRAMS_MAX, SL_DATAGRAM_INTS, SL_DATAGRAM_BYTES };
    return which < 0 || which >= (int32_t)(sizeof sizes / sizeof *sizes) ? -EINVAL : sizes[which];
}

/* Prepares the process, once: raises RLIMIT_NOFILE to its hard limit, ignores SIGPIPE (a splice to a
 * closed socket raises it and takes no flag against it), maps the table of fds.
 * Returns the number of fds the process may have (at most 16 Mi), or -errno. */
int32_t sl_setup(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
        return -errno;
    if (limit.rlim_cur < limit.rlim_max) {
        rlim_t soft = limit.rlim_cur;
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) == -1)
            limit.rlim_cur = soft;
    }
    signal(SIGPIPE, SIG_IGN);
    if (sl_fds == NULL) {
        rlim_t most = 16 << 20;
        sl_fds_max = (int32_t)(limit.rlim_cur < most ? limit.rlim_cur : most);
        sl_fds = map((size_t)sl_fds_max * sizeof *sl_fds);
        if (sl_fds == NULL)
            return -ENOMEM;
    }
    return sl_fds_max;
}

/* Makes room <room>: its epoll set, eventfd, tables for <slots> and <pipes> (row 0 of each is never
 * used) and an arena. Control plane only. -EEXIST if it is open. */
int32_t sl_room_open(int32_t room, int32_t slots, int32_t pipes, uint32_t arena_bytes)
{
    CHECK(room >= 0 && room < SL_ROOMS_MAX && slots > 0 && pipes > 0 && arena_bytes > 0);
    struct sl_room *r = &sl_rooms[room];
    if (atomic_load(&r->open))
        return -EEXIST;
    memset(r, 0, sizeof *r);
    r->slot_count = slots, r->pipe_count = pipes, r->arena_bytes = arena_bytes;
    r->slots = map((size_t)slots * sizeof *r->slots);
    r->pipes = map((size_t)pipes * sizeof *r->pipes);
    r->tls = map((size_t)slots * sizeof *r->tls);
    r->names = map((size_t)slots * sizeof *r->names);
    r->introductions = map((size_t)slots * sizeof *r->introductions);
    r->contexts = map(SL_PROFILES_MAX * sizeof *r->contexts);
    r->ready = map(SL_PROFILES_MAX * sizeof *r->ready);
    r->sessions = map(SL_SERVERS_MAX * sizeof *r->sessions);
    r->arena = map(arena_bytes);
    r->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    r->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event wake = { .events = EPOLLIN | EPOLLET, .data.u64 = tag(TAG_EVENTFD, 0) };
    if (r->slots == NULL || r->pipes == NULL || r->arena == NULL || r->tls == NULL || r->names == NULL || r->introductions == NULL ||
        r->contexts == NULL || r->ready == NULL || r->sessions == NULL || r->epoll_fd == -1 || r->event_fd == -1 ||
        epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, r->event_fd, &wake) == -1) {
        int error = errno == 0 ? ENOMEM : errno;
        atomic_store(&r->open, 1);
        sl_room_close(room);
        return -error;
    }
    atomic_store(&r->open, 1);
    return 0;
}

/* Ends room <room>: closes what its slots and pipes still hold, unmaps its memory. The thread that
 * used it must have left. */
int32_t sl_room_close(int32_t room)
{
    CHECK(room >= 0 && room < SL_ROOMS_MAX);
    struct sl_room *r = &sl_rooms[room];
    CHECK(atomic_load(&r->open) && !atomic_load(&r->entered));
    if (r->slots != NULL && r->pipes != NULL)
        sl_reap(room);
    for (int32_t fd = 0; fd < atomic_load(&fds_end); fd++)
        if (atomic_load(&sl_fds[fd].room) == room && sl_fds[fd].serial != 0 && sl_fds[fd].slot == 0)
            sl_close_fd(fd, 1);
    if (r->slots != NULL) munmap(r->slots, (size_t)r->slot_count * sizeof *r->slots);
    if (r->pipes != NULL) munmap(r->pipes, (size_t)r->pipe_count * sizeof *r->pipes);
    if (r->arena != NULL) munmap(r->arena, r->arena_bytes);
    sl_contexts_free(r);
    if (r->tls != NULL) munmap(r->tls, (size_t)r->slot_count * sizeof *r->tls);
    if (r->names != NULL) munmap(r->names, (size_t)r->slot_count * sizeof *r->names);
    if (r->introductions != NULL) munmap(r->introductions, (size_t)r->slot_count * sizeof *r->introductions);
    if (r->contexts != NULL) munmap(r->contexts, SL_PROFILES_MAX * sizeof *r->contexts);
    if (r->ready != NULL) munmap(r->ready, SL_PROFILES_MAX * sizeof *r->ready);
    if (r->sessions != NULL) munmap(r->sessions, SL_SERVERS_MAX * sizeof *r->sessions);
    if (r->epoll_fd > 0) close(r->epoll_fd);
    if (r->event_fd > 0) close(r->event_fd);
    memset(r, 0, sizeof *r);
    return 0;
}

/* The address of a room's arena, or NULL. It stays until the room is closed. */
void *sl_arena(int32_t room)
{
    return room < 0 || room >= SL_ROOMS_MAX ? NULL : sl_rooms[room].arena;
}

/* CLOCK_MONOTONIC in milliseconds, as a double in the first eight bytes of the caller's arena. */
void sl_tell_time(void)
{
    struct timespec now;
    double *told = (double *)(void *)me->arena;
    clock_gettime(CLOCK_MONOTONIC, &now);
    told[0] = (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
    clock_gettime(CLOCK_REALTIME, &now);
    told[1] = (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* Makes <room> the calling thread's and tells it the time, as sl_poll does. -EBUSY while another
 * thread is in it. */
int32_t sl_enter(int32_t room)
{
    CHECK(me == NULL && room >= 0 && room < SL_ROOMS_MAX && atomic_load(&sl_rooms[room].open));
    int32_t free = 0;
    if (!atomic_compare_exchange_strong(&sl_rooms[room].entered, &free, 1))
        return -EBUSY;
    me = &sl_rooms[room], my_index = room;
    sl_tell_time();
    return 0;
}

/* Gives the calling thread's room back. */
int32_t sl_leave(void)
{
    CHECK(me != NULL);
    sl_pattern_leave();
    atomic_store(&me->entered, 0);
    me = NULL, my_index = -1;
    return 0;
}

/* Takes every listening socket out of a room's epoll set: its next thread watches anew. */
static void unwatch_all(struct sl_room *room)
{
    for (int32_t listener = 0; listener < SL_LISTENERS_MAX; listener++) {
        int32_t fd = atomic_load(&sl_listeners[listener]) - 1;
        if (fd >= 0)
            epoll_ctl(room->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    }
}

/* Cleans up after a thread that died in <room>: closes every socket and pipe it held, stops watching
 * listening sockets, and frees the room for a replacement. Connections handed to it that it never took
 * stay registered; they are armed once more, since the dead thread may have taken their only event.
 * One that it had accepted and not yet handed on is closed. Returns how many sockets of clients were
 * closed that had been slots. Control plane only: the thread must be gone. */
int32_t sl_reap(int32_t room)
{
    CHECK(room >= 0 && room < SL_ROOMS_MAX && atomic_load(&sl_rooms[room].open));
    struct sl_room *r = &sl_rooms[room];
    int32_t clients = 0;
    for (int32_t slot = 1; slot < r->slot_count && r->slots_held > 0; slot++) {
        if (r->slots[slot] == 0)
            continue;
        if (r->slots[slot] & SLOT_TLS)
            sl_tls_end(r, slot, 1);
        if (r->slots[slot] & SLOT_NAMED)
            sl_name_forget(r, slot);
        if (r->slots[slot] & SLOT_INTRODUCED)
            sl_introduction_forget(r, slot);
        int32_t fd = r->slots[slot] - 1;
        clients += sl_fds[fd].listener >= 0;
        sl_close_fd(fd, 1);
        r->slots[slot] = 0, r->slots_held--;
    }
    for (int32_t pipe = 1; pipe < r->pipe_count && r->pipes_held > 0; pipe++) {
        if (r->pipes[pipe].read_fd == 0)
            continue;
        close(r->pipes[pipe].read_fd - 1);
        close(r->pipes[pipe].write_fd - 1);
        r->pipes[pipe] = (struct sl_pipe){ 0 }, r->pipes_held--;
    }
    for (int32_t fd = 0; fd < atomic_load(&fds_end); fd++) {
        struct sl_fd *f = &sl_fds[fd];
        if (atomic_load(&f->room) != room || f->serial == 0 || f->slot != 0)
            continue;
        if (f->serial == SERIAL_HELD) {
            sl_close_fd(fd, 1);
            continue;
        }
        /* ENOENT: it is being handed over right now, and its first event is still to come. */
        struct epoll_event again = { .events = EVERYTHING, .data.u64 = tag(f->serial, (uint32_t)fd) };
        epoll_ctl(r->epoll_fd, EPOLL_CTL_MOD, fd, &again);
    }
    unwatch_all(r);
    atomic_store(&r->entered, 0);
    return clients;
}

/* Makes sl_poll of <room> return with an SL_WOKEN event: eventfd(2). Any thread. */
int32_t sl_wake(int32_t room)
{
    CHECK(room >= 0 && room < SL_ROOMS_MAX && atomic_load(&sl_rooms[room].open));
    uint64_t one = 1;
    ssize_t n;
    do n = write(sl_rooms[room].event_fd, &one, sizeof one);
    while (n == -1 && errno == EINTR);
    return n == -1 && errno != EAGAIN ? -errno : 0;
}

/* Writes the peer record of slot <slot> of any <room> to the caller's arena: who a dead reactor's client
 * was, asked before sl_reap. -ENOENT when that slot has no socket. */
int32_t sl_peer_of(int32_t room, int32_t slot, uint32_t off)
{
    CHECK(room >= 0 && room < SL_ROOMS_MAX && atomic_load(&sl_rooms[room].open));
    CHECK(slot > 0 && slot < sl_rooms[room].slot_count);
    CHECK_ARENA(off, SL_PEER_BYTES);
    int32_t fd = FD_IN(sl_rooms[room].slots[slot]);
    if (fd < 0)
        return -ENOENT;
    memcpy(me->arena + off, sl_fds[fd].peer, SL_PEER_BYTES);
    return 0;
}

/* How much <room> holds: 0 sockets of slots, 1 pipes, 2 newcomers not yet taken (a scan). 3: who the connection is
 * counted for (sl_charge) that it has accepted and not handed on yet; 0: nobody. */
int32_t sl_held(int32_t room, int32_t which)
{
    CHECK(room >= 0 && room < SL_ROOMS_MAX && which >= 0 && which <= 3);
    if (which == 0) return sl_rooms[room].slots_held;
    if (which == 1) return sl_rooms[room].pipes_held;
    int32_t newcomers = 0, source = 0;
    for (int32_t fd = 0; fd < atomic_load(&fds_end); fd++) {
        const struct sl_fd *f = &sl_fds[fd];
        if (atomic_load(&f->room) != room || f->serial == 0 || f->slot != 0)
            continue;
        newcomers++;
        if (f->serial == SERIAL_HELD)
            source = f->source;
    }
    return which == 2 ? newcomers : source;
}

/* Notes who owns <fd> and registers it, once for its life, for <events>, with the
 * epoll set of <room>. On failure the row is as it was; the fd stays the caller's to close.
 * The room is written last: a reap of that room sees either nobody, or a row that is whole. */
int32_t sl_fd_register(int32_t fd, int32_t room, int32_t slot, uint32_t gen, int32_t listener, uint32_t events)
{
    static _Atomic uint32_t serials;
    struct sl_fd *f = &sl_fds[fd], before = { .serial = f->serial, .slot = f->slot };
    int32_t room_before = atomic_load(&f->room);
    uint32_t serial = atomic_fetch_add(&serials, 1) % SERIAL_MAX + 1;
    atomic_store(&f->room, -1);
    f->slot = slot, f->gen = gen, f->listener = (int16_t)listener;
    f->serial = serial;
    atomic_store(&f->room, (int16_t)room);
    sl_fd_seen(fd);
    struct epoll_event heard = { .events = events, .data.u64 = tag(serial, (uint32_t)fd) };
    if (epoll_ctl(sl_rooms[room].epoll_fd, EPOLL_CTL_ADD, fd, &heard) == 0)
        return 0;
    int error = errno;
    atomic_store(&f->room, -1);
    f->serial = before.serial, f->slot = before.slot;
    atomic_store(&f->room, (int16_t)room_before);
    return -error;
}

/* Whether bytes that arrive for <slot> make an event (<on> 1, as it is from the start) or not (0): a
 * source whose sink is full would wake us for each segment, for nothing. Errors, the end of stream and
 * readiness to write are told all the same. epoll_ctl(2) with EPOLL_CTL_MOD: switching on tells at once
 * what has come meanwhile. */
int32_t sl_hear(int32_t slot, int32_t on)
{
    CHECK_SLOT(slot);
    CHECK(me->slots[slot] != 0);
    int32_t fd = FD(slot);
    struct epoll_event event = { .events = on ? EVERYTHING : MUTED,
                                 .data.u64 = tag(sl_fds[fd].serial, (uint32_t)fd) };
    return epoll_ctl(me->epoll_fd, EPOLL_CTL_MOD, fd, &event) == -1 ? -errno : 0;
}

/* Raises the end of the scans over fds[]. */
void sl_fd_seen(int32_t fd)
{
    int32_t end = atomic_load(&fds_end);
    while (fd >= end && !atomic_compare_exchange_weak(&fds_end, &end, fd + 1))
        ;
}

/* Frees the row of an fd. Its room goes first: a reap of that room looks no further then. */
void sl_fd_forget(int32_t fd)
{
    atomic_store(&sl_fds[fd].room, -1);
    sl_fds[fd].serial = 0, sl_fds[fd].slot = 0, sl_fds[fd].pieces = 0;
}

/* Forgets and closes an fd of a connection. A reset is close(2) after SO_LINGER of 0 seconds: unsent
 * data is dropped, the peer gets RST and no TIME_WAIT stays here. */
void sl_close_fd(int32_t fd, int32_t reset)
{
    sl_fd_forget(fd);
    if (reset) {
        struct linger now = { .l_onoff = 1, .l_linger = 0 };
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
    close(fd); /* Linux frees the fd whatever it returns: close(2), "Dealing with error returns" */
}
