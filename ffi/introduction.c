/* introduction.c: what a proxy before us told of a client, by the header that it sent before the client's first byte
 * (PROXY protocol). Who the client is stands in its row of fds[], for everybody; what else was told is kept for the
 * servers that are told of it in turn. Of datagrams it is the header itself that is kept, as it goes before each. */
#include "room.h"

#include <stdlib.h>
#include <string.h>

#define INTRODUCTION_BYTES_MAX 65536

struct sl_introduction { int32_t bytes; uint8_t introducer[SL_PEER_BYTES], told[]; };

/* Keeps <bytes> bytes at <off> with <slot> in place of what was kept. -ENOMEM: nothing has changed. */
static int32_t keep(int32_t slot, uint32_t off, int32_t bytes)
{
    struct sl_introduction *kept = malloc(sizeof *kept + (size_t)bytes);
    if (kept == NULL)
        return -ENOMEM;
    kept->bytes = bytes;
    memcpy(kept->told, me->arena + off, (size_t)bytes);
    const struct sl_introduction *before = me->introductions[slot];
    memcpy(kept->introducer, before != NULL ? before->introducer : sl_fds[FD(slot)].peer, SL_PEER_BYTES);
    if (me->slots[slot] & SLOT_INTRODUCED)
        sl_introduction_forget(me, slot);
    me->introductions[slot] = kept;
    me->slots[slot] |= SLOT_INTRODUCED;
    return 0;
}

/* The client of <slot> is who the introduction at <off> says: a peer record, which sl_client tells from here on, and
 * whatever else was told of it; all of it is kept until the slot is closed. One that came before is forgotten.
 * -ENOMEM when there is no memory; then nothing has changed. */
int32_t sl_introduce(int32_t slot, uint32_t off, int32_t bytes)
{
    CHECK_SLOT(slot);
    CHECK_ARENA(off, bytes);
    CHECK(bytes >= SL_PEER_BYTES && bytes <= INTRODUCTION_BYTES_MAX && me->slots[slot] != 0);
    int32_t result = keep(slot, off, bytes);
    if (result == 0)
        memcpy(sl_fds[FD(slot)].peer, me->introductions[slot]->told, SL_PEER_BYTES);
    return result;
}

/* Writes the introduction of <slot> to the arena at <off>, as it was kept, at most <bytes> of it. Returns how many it
 * has in all; 0: nobody has introduced this client. */
int32_t sl_introduction(int32_t slot, uint32_t off, int32_t bytes)
{
    CHECK_SLOT(slot);
    CHECK_ARENA(off, bytes);
    CHECK(me->slots[slot] != 0);
    if (!(me->slots[slot] & SLOT_INTRODUCED))
        return 0;
    const struct sl_introduction *kept = me->introductions[slot];
    memcpy(me->arena + off, kept->told, (size_t)(kept->bytes < bytes ? kept->bytes : bytes));
    return kept->bytes;
}

/* The preface of <slot>, a socket of datagrams, is the <bytes> at <off> from here on: what each of its datagrams begins
 * with (sl_udp_send), kept until the slot is closed. -ENOMEM when there is no memory; then nothing has changed. */
int32_t sl_udp_preface(int32_t slot, uint32_t off, int32_t bytes)
{
    CHECK_SLOT(slot);
    CHECK_ARENA(off, bytes);
    CHECK(bytes > 0 && bytes <= INTRODUCTION_BYTES_MAX && me->slots[slot] != 0);
    int32_t had = 0;
    const uint8_t *preface = sl_preface(slot, &had);
    if (preface != NULL && had == bytes && memcmp(preface, me->arena + off, (size_t)bytes) == 0)
        return 0;
    return keep(slot, off, bytes);
}

/* The preface of <slot> and its length, or NULL: it has none. */
const uint8_t *sl_preface(int32_t slot, int32_t *bytes)
{
    if (!(me->slots[slot] & SLOT_INTRODUCED))
        return NULL;
    *bytes = me->introductions[slot]->bytes;
    return me->introductions[slot]->told;
}

/* Writes the peer record of who has introduced the client of <slot>: the socket's own, as accept(2) told it. Returns
 * 1; 0, and writes nothing, if nobody has. */
int32_t sl_introducer(int32_t slot, uint32_t off)
{
    CHECK_SLOT(slot);
    CHECK_ARENA(off, SL_PEER_BYTES);
    CHECK(me->slots[slot] != 0);
    if (!(me->slots[slot] & SLOT_INTRODUCED))
        return 0;
    memcpy(me->arena + off, me->introductions[slot]->introducer, SL_PEER_BYTES);
    return 1;
}

/* What a proxy told of the client of a slot that is being closed. */
void sl_introduction_forget(struct sl_room *room, int32_t slot)
{
    free(room->introductions[slot]);
    room->introductions[slot] = NULL;
    room->slots[slot] &= ~SLOT_INTRODUCED;
}
