/* tls_bio.c: the socket beneath a session. All sessions of a room share one BIO, which finds the socket through
 * sl_tls_current: nothing of it is kept for an idle connection. Where the kernel may do the records OpenSSL needs
 * its own BIO, one for each session, and what happens to the socket is seen by looking on. */
#include "tls.h"

#include <openssl/bio.h>

#define METHOD_MOST 16

/* A record of data is whole after two full reads at the latest: what takes more than these within one call is
 * other talk (keys changed without end, tickets, empty records), and nobody needs that much of it. */
#define READS_MOST 3

_Thread_local struct sl_tls *sl_tls_current;
static _Thread_local int32_t current_slot;
static _Thread_local int32_t full_reads; /* of the socket, since data was last read from the session */

/* Whether bytes begin as a request does: a method, and a target. OpenSSL knows four methods. */
static int is_request(const char *at, ssize_t bytes)
{
    ssize_t end = 0;
    while (end < bytes && end < METHOD_MOST && at[end] >= 'A' && at[end] <= 'Z')
        end++;
    return end > 0 && end + 1 < bytes && at[end] == ' ' && (at[end + 1] == '/' || at[end + 1] == '*' || at[end + 1] == 'h');
}

/* Something was read of the socket. */
static void heard(struct sl_tls *tls, const char *at, ssize_t n, size_t most)
{
    if (!tls->heard && SSL_is_server(tls->ssl) && is_request(at, n))
        tls->fault = FAULT_PLAIN_HTTP;
    tls->heard = 1;
    full_reads += (size_t)n == most;
}

/* Whether there is to be no further read within this call. */
static int has_enough(struct sl_tls *tls)
{
    if (!tls->open || full_reads < READS_MOST)
        return 0;
    tls->error = EPROTO;
    return 1;
}

static int bio_read(BIO *bio, char *at, int bytes)
{
    struct sl_tls *tls = sl_tls_current;
    BIO_clear_retry_flags(bio);
    if (tls->dry) {
        BIO_set_retry_read(bio);
        return -1;
    }
    if (has_enough(tls))
        return -1;
    ssize_t n;
    do n = RAW_RECV(FD(current_slot), at, (size_t)bytes, 0);
    while (n == -1 && errno == EINTR);
    if (n > 0) {
        heard(tls, at, n, (size_t)bytes);
        tls->dry = n < bytes && !tls->fin;
        return (int)n;
    }
    if (n == 0) {
        tls->eof = 1;
        return 0;
    }
    if (errno == EAGAIN) {
        tls->dry = 1;
        BIO_set_retry_read(bio);
    } else {
        tls->error = errno;
    }
    return -1;
}

static int bio_write(BIO *bio, const char *at, int bytes)
{
    struct sl_tls *tls = sl_tls_current;
    BIO_clear_retry_flags(bio);
    ssize_t n;
    do n = RAW_SEND(FD(current_slot), at, (size_t)bytes, MSG_NOSIGNAL | (tls->more ? MSG_MORE : 0));
    while (n == -1 && errno == EINTR);
    if (n >= 0)
        return (int)n;
    if (errno == EAGAIN)
        BIO_set_retry_write(bio);
    else
        tls->error = errno;
    return -1;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    if (command == BIO_CTRL_EOF)
        return sl_tls_current != NULL && sl_tls_current->eof;
    return command == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

/* Looks on at OpenSSL's own BIO, which is used where the kernel may do the records: BIO_set_callback_ex(3). */
static long look_on(BIO *bio, int what, const char *at, size_t most, int number, long other, int result, size_t *read)
{
    (void)number, (void)other;
    if (what == BIO_CB_READ && has_enough(sl_tls_current)) {
        BIO_clear_retry_flags(bio);
        return -1;
    }
    if (what == (BIO_CB_READ | BIO_CB_RETURN) && result > 0)
        heard(sl_tls_current, at, (ssize_t)*read, most);
    return result;
}

/* OpenSSL's own BIO for a slot. */
static BIO *socket_bio(int32_t slot)
{
    BIO *bio = BIO_new_socket(FD(slot), BIO_NOCLOSE);
    if (bio != NULL)
        BIO_set_callback_ex(bio, look_on);
    return bio;
}

/* The room's BIO, counted for the caller. */
static BIO *room_bio(void)
{
    if (me->bio == NULL) {
        static _Atomic(BIO_METHOD *) made;
        BIO_METHOD *methods = atomic_load(&made);
        if (methods == NULL) {
            methods = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sluice");
            if (methods == NULL)
                return NULL;
            BIO_meth_set_read(methods, bio_read);
            BIO_meth_set_write(methods, bio_write);
            BIO_meth_set_ctrl(methods, bio_ctrl);
            BIO_meth_set_create(methods, bio_create);
            BIO_METHOD *none = NULL;
            if (!atomic_compare_exchange_strong(&made, &none, methods)) {
                BIO_meth_free(methods);
                methods = none;
            }
        }
        if ((me->bio = BIO_new(methods)) == NULL)
            return NULL;
    }
    BIO_up_ref(me->bio);
    return me->bio;
}

/* The BIO of a slot's session, counted for the caller; NULL when there is no memory. */
BIO *sl_tls_bio(int32_t slot) { return sl_ktls() ? socket_bio(slot) : room_bio(); }

/* The session that the calls of OpenSSL which follow are about. */
struct sl_tls *sl_tls_of(int32_t slot)
{
    current_slot = slot, full_reads = 0;
    return sl_tls_current = me->tls[slot];
}

/* Data came of the session: what was read was no idle talk. */
void sl_tls_data(void) { full_reads = 0; }

/* Whether the socket's end of stream was read: either BIO knows it. For the slot of sl_tls_of. */
int sl_tls_eof(struct sl_tls *tls) { return BIO_eof(SSL_get_rbio(tls->ssl)); }

/* The errno of a call of OpenSSL that failed because of the socket: OpenSSL's own BIO leaves it where the system
 * call did. */
void sl_tls_note(struct sl_tls *tls, int failed)
{
    if (failed == SSL_ERROR_SYSCALL && tls->error == 0 && !sl_tls_eof(tls))
        tls->error = errno;
}
