/* poll.c: the one call a reactor sleeps in. */
#include "tls.h"


#define EVENTS_MAX 512

/* epoll's words in ours: what a reactor must try, not only what was said. */
static uint32_t bits_of(uint32_t events)
{
    uint32_t bits = 0;
    if (events & EPOLLIN) bits |= SL_IN;
    if (events & EPOLLOUT) bits |= SL_OUT;
    if (events & EPOLLRDHUP) bits |= SL_IN | SL_FIN;
    if (events & EPOLLHUP) bits |= SL_IN | SL_OUT | SL_FIN;
    if (events & EPOLLERR) bits |= SL_IN | SL_OUT | SL_ERR;
    if (events & EPOLLPRI) bits |= SL_PIECES;
    return bits;
}

/* Waits for events: epoll_wait(2), at most <timeout_ms> (-1: until one comes, 0: not at all).
 * Writes int32 triples (what, who, bits) to the arena at <off> (a multiple of 4), at most <max> of
 * them, and to the arena's first sixteen bytes two doubles: CLOCK_MONOTONIC and CLOCK_REALTIME, in
 * milliseconds.
 *   what > 0           the slot, who its generation
 *   SL_WOKEN           sl_wake was called (any number of times)
 *   SL_NEWCOMER        who is the token of a connection handed to this room: sl_adopt or sl_refuse
 *   SL_LISTENER        who is the index of a listening socket with connections to accept
 *   SL_DATAGRAMS       who is the index of a listening socket with datagrams to take
 * Returns how many triples there are; a signal gives 0, as a timeout does. */
int32_t sl_poll(uint32_t off, int32_t max, int32_t timeout_ms)
{
    CHECK(max > 0 && max <= EVENTS_MAX && off % 4 == 0);
    CHECK_ARENA(off, max * SL_EVENT_INTS * 4);
    struct epoll_event events[EVENTS_MAX];
    int count = (int)RAW_EPOLL_WAIT(me->epoll_fd, events, max, timeout_ms);
    if (count == -1) {
        if (errno != EINTR)
            return -errno;
        count = 0;
    }
    sl_tell_time();

    int32_t *out = (int32_t *)(void *)(me->arena + off), written = 0;
    for (int i = 0; i < count; i++) {
        uint32_t serial = (uint32_t)(events[i].data.u64 >> 32), low = (uint32_t)events[i].data.u64;
        int32_t *triple = out + written * SL_EVENT_INTS;
        triple[2] = (int32_t)bits_of(events[i].events);
        if (serial == TAG_EVENTFD) {
            uint64_t count_of_wakes;
            if (read(me->event_fd, &count_of_wakes, sizeof count_of_wakes) == -1 && errno != EAGAIN)
                return -errno;
            triple[0] = SL_WOKEN, triple[1] = 0;
        } else if (serial == TAG_LISTENER) {
            triple[0] = SL_LISTENER, triple[1] = (int32_t)low;
        } else if (serial == TAG_DATAGRAMS) {
            triple[0] = SL_DATAGRAMS, triple[1] = (int32_t)low;
        } else if (sl_fds[low].serial != serial) {
            continue;
        } else if (sl_fds[low].slot == 0) {
            triple[0] = SL_NEWCOMER, triple[1] = (int32_t)low;
            if (sl_fds[low].pieces)
                triple[2] |= SL_PIECES;
        } else {
            triple[0] = sl_fds[low].slot, triple[1] = (int32_t)sl_fds[low].gen;
            if (sl_fds[low].pieces)
                triple[2] |= SL_PIECES;
            if (me->slots[triple[0]] & SLOT_TLS)
                triple[2] = (int32_t)sl_tls_event(triple[0], (uint32_t)triple[2]);
        }
        written++;
    }
    return written;
}
