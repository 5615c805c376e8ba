/* tls.c: the session of a slot. Its handshake, its bytes, its end; the calls above (sl_recv, sl_send, ...)
 * come here when the slot has one. What epoll told is noted here as well (dry, fin): OpenSSL's next read of a
 * socket that is known to be empty costs no system call. */
#include "tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

/* Records: the first of a burst fits one segment and can be read as soon as it is there, the next fit the
 * first window, then they are as large as may be (RFC 8446 section 5.1). */
#define RECORD_FIRST 1370
#define RECORD_SOON 4096
#define RECORD_MOST 16384
#define BURST_FIRST 1370
#define BURST_SOON 65536
#define SILENCE_MS 1000.0

/* What a failed call of OpenSSL means in a handshake. Takes what OpenSSL says out of its queue. */
static int32_t fault_of(struct sl_tls *tls, int server)
{
    unsigned long first = ERR_peek_error(), error = ERR_get_error();
    /* Others have said before why TLS says it: a signature that does not fit is EC's and ASN.1's word first. */
    while (error != 0 && ERR_GET_LIB(error) != ERR_LIB_SSL)
        error = ERR_get_error();
    int reason = error == 0 ? 0 : ERR_GET_REASON(error);
    long verify = SSL_get_verify_result(tls->ssl);
    if (tls->fault != FAULT_NONE)
        return tls->fault;
    if (reason > SSL_AD_REASON_OFFSET)
        return FAULT_ALERT | (reason - SSL_AD_REASON_OFFSET) << 8;
    switch (reason) {
    case SSL_R_HTTP_REQUEST:
        return FAULT_PLAIN_HTTP;
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_UNEXPECTED_MESSAGE:
    case SSL_R_BAD_RECORD_TYPE:
    case SSL_R_RECORD_LENGTH_MISMATCH:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
        return !server || !tls->hello ? FAULT_NOT_TLS : FAULT_PROTOCOL;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_VERSION_TOO_HIGH:
    case SSL_R_NO_PROTOCOLS_AVAILABLE:
    case SSL_R_UNKNOWN_PROTOCOL:
        return FAULT_VERSION;
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SUITABLE_GROUPS:
        return FAULT_CIPHER;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        return FAULT_NO_CERT_GIVEN;
    case SSL_R_NO_APPLICATION_PROTOCOL:
        return FAULT_ALPN;
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
        break;
    default:
        return sl_tls_eof(tls) && first == 0 ? FAULT_GONE : FAULT_PROTOCOL;
    }
    switch (verify) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CRL_HAS_EXPIRED:
        return FAULT_EXPIRED | (int32_t)verify << 8;
    case X509_V_ERR_CERT_NOT_YET_VALID:
    case X509_V_ERR_CRL_NOT_YET_VALID:
        return FAULT_NOT_YET_VALID | (int32_t)verify << 8;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_UNTRUSTED:
        return FAULT_AUTHORITY | (int32_t)verify << 8;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return FAULT_NAME | (int32_t)verify << 8;
    case X509_V_ERR_CERT_REVOKED:
        return FAULT_REVOKED | (int32_t)verify << 8;
    default:
        return FAULT_CERTIFICATE | (int32_t)verify << 8;
    }
}

/* Gives a slot a session of <profile>; it is in its handshake then. <bits>: what events have told of the slot
 * before there was a session to note it. An end of stream is told once: without it a short read would count as
 * the socket's last for now, and nothing would tell of what is behind. */
static struct sl_tls *begin(int32_t slot, int32_t profile, uint32_t bits)
{
    SSL_CTX *context = sl_context(profile);
    struct sl_tls *tls = context == NULL ? NULL : calloc(1, sizeof *tls);
    if (tls == NULL) {
        ERR_clear_error();
        return NULL;
    }
    BIO *bio = NULL;
    tls->profile = (int16_t)profile;
    tls->fin = (bits & (SL_FIN | SL_ERR)) != 0;
    tls->ssl = SSL_new(context);
    if (tls->ssl == NULL || (bio = sl_tls_bio(slot)) == NULL) {
        SSL_free(tls->ssl);
        free(tls);
        ERR_clear_error();
        return NULL;
    }
    SSL_set_bio(tls->ssl, bio, bio);
    atomic_fetch_add(&sl_profile_get(profile)->sessions, 1);
    me->tls[slot] = tls;
    me->slots[slot] |= SLOT_TLS;
    return tls;
}

/* Begins a session with a client: the slot's bytes are TLS from here on. <bits>: what the slot is ready for, as
 * events have told. -ENOMEM. */
int32_t sl_tls_accept(int32_t slot, int32_t profile, uint32_t bits)
{
    CHECK_SLOT(slot);
    CHECK(me->slots[slot] != 0 && !(me->slots[slot] & SLOT_TLS) && sl_profile_get(profile) != NULL);
    struct sl_tls *tls = begin(slot, profile, bits);
    if (tls == NULL)
        return -ENOMEM;
    SSL_set_accept_state(tls->ssl);
    return 0;
}

/* Begins a session with server <server>, whose name (or IP address as text) lies at <off>: it is asked for
 * (RFC 6066 section 3, names only) and must be in the certificate. An earlier session is offered. <bits> as in
 * sl_tls_accept. */
int32_t sl_tls_connect(int32_t slot, int32_t profile, uint32_t off, int32_t bytes, int32_t server, uint32_t bits)
{
    CHECK_SLOT(slot);
    CHECK_ARENA(off, bytes);
    CHECK(me->slots[slot] != 0 && !(me->slots[slot] & SLOT_TLS) && sl_profile_get(profile) != NULL);
    CHECK(bytes <= NAME_BYTES_MAX);
    char name[NAME_BYTES_MAX + 1];
    memcpy(name, me->arena + off, (size_t)bytes);
    name[bytes] = '\0';
    struct sl_tls *tls = begin(slot, profile, bits);
    if (tls == NULL)
        return -ENOMEM;
    tls->server = server;
    tls->name = sl_name_hash(name);
    SSL_set_connect_state(tls->ssl);
    ASN1_OCTET_STRING *ip = bytes > 0 ? a2i_IPADDRESS(name) : NULL;
    int good = 1;
    if (bytes > 0 && ip == NULL)
        good = SSL_set_tlsext_host_name(tls->ssl, name) == 1 && SSL_set1_host(tls->ssl, name) == 1;
    else if (ip != NULL)
        good = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls->ssl), name) == 1;
    ASN1_OCTET_STRING_free(ip);
    SSL_set_hostflags(tls->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    SSL_SESSION *session = sl_session_of(server, profile, tls->name);
    if (session != NULL)
        SSL_set_session(tls->ssl, session);
    SSL_SESSION_free(session);
    ERR_clear_error();
    return good ? 0 : -ENOMEM;
}

static void done(struct sl_tls *tls)
{
    tls->open = 1;
    tls->kernel = sl_ktls() && BIO_get_ktls_send(SSL_get_wbio(tls->ssl)) && BIO_get_ktls_recv(SSL_get_rbio(tls->ssl));
    for (int i = 0; i < CERTS_OF_NAME_MAX; i++) {
        sl_cert_release(tls->shown[i]);
        tls->shown[i] = NULL;
    }
}

/* Goes on with a handshake: SSL_do_handshake(3). Returns 0 when it is done; -EAGAIN: an event will tell when
 * to go on; -EINPROGRESS: there is no certificate for the name that was asked for (sl_tls_fact), go on when
 * there is; -EPROTO: it failed, see sl_tls_fault; -ECONNRESET and others when the socket is broken. */
int32_t sl_handshake(int32_t slot)
{
    CHECK_SLOT(slot);
    CHECK(me->slots[slot] & SLOT_TLS);
    struct sl_tls *tls = sl_tls_of(slot);
    CHECK(!tls->open && !tls->broken);
    tls->wants_out = 0;
    int server = SSL_is_server(tls->ssl);
    int result = SSL_do_handshake(tls->ssl);
    if (result == 1) {
        /* What went wrong on the way and was got over is said as well; SSL_get_error would take it for the next
         * session's. */
        ERR_clear_error();
        done(tls);
        return 0;
    }
    int failed = SSL_get_error(tls->ssl, result);
    sl_tls_note(tls, failed);
    switch (failed) {
    case SSL_ERROR_WANT_WRITE:
        tls->wants_out = 1;
        /* fall through */
    case SSL_ERROR_WANT_READ:
        return -EAGAIN;
    case SSL_ERROR_WANT_X509_LOOKUP:
        return -EINPROGRESS;
    default:
        tls->broken = 1;
        tls->fault = tls->error != 0 ? FAULT_GONE : fault_of(tls, server);
        ERR_clear_error();
        if (tls->error != 0)
            return -tls->error;
        return tls->fault == FAULT_GONE ? -ECONNRESET : -EPROTO;
    }
}

/* Why a session failed: an sl_fault, and above its eight bits the alert's or the verification's number. */
int32_t sl_tls_fault(int32_t slot)
{
    CHECK_SLOT(slot);
    CHECK(me->slots[slot] & SLOT_TLS);
    return me->tls[slot]->fault;
}

/* Whether the peer's end of stream came without its close_notify (RFC 8446 section 6.1): 1, or 0. */
int32_t sl_truncated(int32_t slot)
{
    CHECK_SLOT(slot);
    CHECK(me->slots[slot] != 0);
    if (!(me->slots[slot] & SLOT_TLS))
        return 0;
    struct sl_tls *tls = sl_tls_of(slot);
    return tls->ended && sl_tls_eof(tls);
}

/* Ends a handshake that waits for a certificate there will not be: its client is told. Returns as sl_handshake. */
int32_t sl_tls_refuse(int32_t slot)
{
    CHECK_SLOT(slot);
    CHECK(me->slots[slot] & SLOT_TLS);
    me->tls[slot]->refused = 1;
    return sl_handshake(slot);
}

/* Takes a failed session off: the slot's bytes are plain from here on. For an answer to who speaks HTTP
 * where TLS is spoken. */
int32_t sl_tls_drop(int32_t slot)
{
    CHECK_SLOT(slot);
    CHECK(me->slots[slot] & SLOT_TLS);
    CHECK(!me->tls[slot]->open);
    sl_tls_end(me, slot, 1);
    return 0;
}

/* What an event means to a slot with a session: bits to try. */
uint32_t sl_tls_event(int32_t slot, uint32_t bits)
{
    struct sl_tls *tls = me->tls[slot];
    if (bits & (SL_IN | SL_ERR | SL_FIN))
        tls->dry = 0;
    if (bits & (SL_FIN | SL_ERR))
        tls->fin = 1;
    if (bits & SL_OUT && tls->wants_out)
        bits |= SL_IN;
    return bits | SL_PIECES;
}

/* A read or a write that went nowhere: -errno, or 0 at the end of stream. */
static int32_t stopped(struct sl_tls *tls, int result, int reading)
{
    int failed = SSL_get_error(tls->ssl, result);
    sl_tls_note(tls, failed);
    switch (failed) {
    case SSL_ERROR_WANT_READ:
        return -EAGAIN;
    case SSL_ERROR_WANT_WRITE:
        if (reading)
            tls->wants_out = 1;
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        tls->ended = 1;
        return 0;
    case SSL_ERROR_SYSCALL:
        if (tls->error == 0 && sl_tls_eof(tls)) {
            tls->ended = 1;
            ERR_clear_error();
            return 0;
        }
        /* A peer may answer, or say why not, and close without reading everything: what it said can be read. */
        if (!reading && tls->error != 0) {
            tls->unsent = tls->error, tls->error = 0, tls->dry = 0;
            ERR_clear_error();
            return -tls->unsent;
        }
        /* fall through */
    default:
        tls->broken = 1;
        tls->fault = fault_of(tls, SSL_is_server(tls->ssl));
        if (tls->error == 0)
            tls->error = EPROTO;
        ERR_clear_error();
        return -tls->error;
    }
}

/* sl_recv and sl_peek of a session. Joins records as far as there are any. */
int32_t sl_tls_recv(int32_t slot, uint8_t *at, int32_t len, int32_t peek)
{
    struct sl_tls *tls = sl_tls_of(slot);
    if (tls->ended)
        return 0;
    if (tls->broken)
        return -(tls->error == 0 ? EPROTO : tls->error);
    CHECK(tls->open);
    tls->wants_out = 0;
    if (peek) /* who asks so carefully wants the socket's word, not what the last event left */
        tls->dry = 0;
    for (int32_t read = 0;;) {
        int n = peek ? SSL_peek(tls->ssl, at, len) : SSL_read(tls->ssl, at + read, len - read);
        if (n <= 0) {
            int32_t what = stopped(tls, n, 1);
            return read > 0 ? read : what;
        }
        read += n, sl_tls_data();
        if (peek || read == len)
            return read;
    }
}

/* How large the next record may be. */
static int32_t record_most(struct sl_tls *tls)
{
    return tls->burst < BURST_FIRST ? RECORD_FIRST : tls->burst < BURST_SOON ? RECORD_SOON : RECORD_MOST;
}

/* sl_send of a session. A record that the socket did not take whole is OpenSSL's to finish: the bytes in it
 * count as not taken, and must come again, the same ones first (they do: what was not taken is held). */
int32_t sl_tls_send(int32_t slot, const uint8_t *at, int32_t len, int32_t more)
{
    struct sl_tls *tls = sl_tls_of(slot);
    if (tls->broken || tls->unsent != 0)
        return -(tls->unsent != 0 ? tls->unsent : tls->error != 0 ? tls->error : EPIPE);
    CHECK(tls->open && len >= tls->retry);
    double now = *(double *)(void *)me->arena;
    if (tls->retry == 0 && now - tls->sent_ms > SILENCE_MS)
        tls->burst = 0;
    tls->sent_ms = now;
    for (int32_t sent = 0;;) {
        int32_t most = record_most(tls), left = len - sent;
        int32_t record = tls->retry > 0 ? tls->retry : left < most ? left : most;
        tls->more = more || record < left;
        int n = SSL_write(tls->ssl, at + sent, record);
        if (n <= 0) {
            int32_t what = stopped(tls, n, 0);
            tls->retry = what == -EAGAIN ? record : 0;
            if (what == 0) /* it ended its side, and with it the session */
                what = -EPIPE;
            return sent > 0 ? sent : what;
        }
        tls->retry = 0;
        tls->burst = tls->burst > BURST_SOON ? tls->burst : tls->burst + (uint32_t)n;
        sent += n;
        if (sent == len)
            return sent;
    }
}

/* sl_shutdown of a session: close_notify, then the socket's own. -EAGAIN when there is no room for it. */
int32_t sl_tls_shutdown(int32_t slot)
{
    struct sl_tls *tls = sl_tls_of(slot);
    if (!tls->open || tls->broken || tls->unsent != 0)
        return -ENOTCONN;
    tls->more = 0;
    int n = SSL_shutdown(tls->ssl);
    if (n < 0 && SSL_get_error(tls->ssl, n) == SSL_ERROR_WANT_WRITE)
        return -EAGAIN;
    ERR_clear_error();
    return 0;
}

/* Ends the session of a slot that is about to be closed; without a reset the peer is told, if it can be. */
void sl_tls_end(struct sl_room *room, int32_t slot, int32_t reset)
{
    struct sl_tls *tls = room->tls[slot];
    if (!reset && tls->open && !tls->broken && tls->unsent == 0 && tls->retry == 0 &&
        !(SSL_get_shutdown(tls->ssl) & SSL_SENT_SHUTDOWN)) {
        sl_tls_of(slot);
        tls->more = 0;
        SSL_shutdown(tls->ssl);
        ERR_clear_error();
    }
    sl_tls_current = NULL;
    /* Or OpenSSL would spoil the session for those that are to resume it: since TLS 1.1 it need not. */
    if (tls->open)
        SSL_set_shutdown(tls->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(tls->ssl);
    for (int i = 0; i < CERTS_OF_NAME_MAX; i++)
        sl_cert_release(tls->shown[i]);
    atomic_fetch_sub(&sl_profile_get(tls->profile)->sessions, 1);
    free(tls);
    room->tls[slot] = NULL;
    room->slots[slot] &= ~SLOT_TLS;
}

/* Whether the kernel does a session's records both ways. */
int32_t sl_tls_splices(int32_t slot) { return me->tls[slot]->kernel; }

/* Moves what OpenSSL has decrypted already into a pipe. */
static int32_t move_held(struct sl_tls *tls, int32_t to, int32_t len)
{
    uint8_t bytes[RECORD_MOST];
    int held = SSL_peek(tls->ssl, bytes, len < RECORD_MOST ? len : RECORD_MOST);
    ssize_t n;
    CHECK(held > 0);
    do n = write(to, bytes, (size_t)held);
    while (n == -1 && errno == EINTR);
    if (n <= 0)
        return n == -1 ? -errno : -EAGAIN;
    CHECK(SSL_read(tls->ssl, bytes, (int)n) == (int)n);
    return (int32_t)n;
}

/* sl_splice_in of a session whose records the kernel does. What OpenSSL has read goes first. A record that is no
 * data, at which splice(2) stops with EINVAL or EIO, is OpenSSL's to read, and so is the end of the stream: only it
 * knows whether that was announced. */
int32_t sl_tls_splice_in(int32_t slot, int32_t to, int32_t len)
{
    struct sl_tls *tls = sl_tls_of(slot);
    CHECK(tls->kernel);
    for (int again = 0;; again++) {
        if (SSL_pending(tls->ssl) > 0)
            return move_held(tls, to, len);
        int32_t n = sl_splice_fd(FD(slot), to, len);
        if (n > 0 || (n < 0 && n != -EINVAL && n != -EIO))
            return n;
        if (again)
            return -EIO;
        uint8_t byte;
        n = sl_tls_recv(slot, &byte, 1, 1);
        if (n <= 0)
            return n;
    }
}
