/* TLS for the tools that are clients, and sockets that may carry it.
 *
 * The client decides what is asked: it offers one version, one cipher and the groups X25519 and P-256,
 * in this order and with a key share for the first, so that every server does the same work whatever
 * it would prefer. It names no authority: checking a chain would cost the load's core. The signature
 * of a handshake is checked, as always. */
#ifndef BENCH_TLS_H
#define BENCH_TLS_H

#include "tool.h"
#include <openssl/err.h>
#include <openssl/ssl.h>

#define TLS_SERVER_NAME "bench.test"

/* One end of a connection, non-blocking once it carries data. Without <ssl> it is plain TCP. */
struct stream {
    int fd;
    SSL *ssl;
};

__attribute__((noreturn)) static inline void tls_die(const char *what)
{
    const char *reason = ERR_reason_error_string(ERR_get_error());
    die("%s: %s", what, reason != NULL ? reason : "no reason given");
}

/* <version> is 12 or 13. */
static inline SSL_CTX *tls_context(uint64_t version)
{
    static const unsigned char alpn[] = "\x08http/1.1";
    int protocol = version == 12 ? TLS1_2_VERSION : TLS1_3_VERSION;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (context == NULL || SSL_CTX_set_min_proto_version(context, protocol) != 1
        || SSL_CTX_set_max_proto_version(context, protocol) != 1
        || SSL_CTX_set_cipher_list(context, "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256") != 1
        || SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256") != 1
        || SSL_CTX_set1_groups_list(context, "X25519:P-256") != 1
        || SSL_CTX_set1_sigalgs_list(context, "ECDSA+SHA256:RSA-PSS+SHA256") != 1
        || SSL_CTX_set_alpn_protos(context, alpn, sizeof alpn - 1) != 0)
        tls_die("TLS context");
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER
                                  | SSL_MODE_RELEASE_BUFFERS);
    return context;
}

/* Puts a client's session on <stream>; <session> is offered for resumption unless it is NULL. */
static inline void tls_begin(struct stream *stream, SSL_CTX *context, SSL_SESSION *session)
{
    stream->ssl = SSL_new(context);
    if (stream->ssl == NULL || SSL_set_fd(stream->ssl, stream->fd) != 1
        || SSL_set_tlsext_host_name(stream->ssl, TLS_SERVER_NAME) != 1
        || (session != NULL && SSL_set_session(stream->ssl, session) != 1))
        tls_die("TLS session");
}

/* What a call on <stream> that returned <result> <= 0 means, as recv would put it: 0 at the end of
 * the stream (said or unsaid), -1 with errno otherwise; EAGAIN is "come back". */
static inline ssize_t tls_failure(const struct stream *stream, int result)
{
    int system = errno;
    switch (SSL_get_error(stream->ssl, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL:
        errno = system;
        return system == 0 ? 0 : -1;
    default:
        if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
            return 0;
        errno = EPROTO;
        return -1;
    }
}

/* Goes on with the handshake: > 0 once it is done, else as tls_failure has it. */
static inline ssize_t tls_shake(const struct stream *stream)
{
    ERR_clear_error();
    int result = SSL_connect(stream->ssl);
    return result == 1 ? 1 : tls_failure(stream, result);
}

static inline ssize_t stream_recv(const struct stream *stream, void *bytes, size_t room)
{
    if (stream->ssl == NULL)
        return recv(stream->fd, bytes, room, 0);
    ERR_clear_error();
    int count = SSL_read(stream->ssl, bytes, (int)room);
    return count > 0 ? count : tls_failure(stream, count);
}

static inline ssize_t stream_send(const struct stream *stream, const void *bytes, size_t count)
{
    if (stream->ssl == NULL)
        return send(stream->fd, bytes, count, MSG_NOSIGNAL);
    ERR_clear_error();
    int sent = SSL_write(stream->ssl, bytes, (int)count);
    return sent > 0 ? sent : tls_failure(stream, sent);
}

/* True if the session holds bytes that no event will tell of. */
static inline bool stream_holds(const struct stream *stream)
{
    return stream->ssl != NULL && SSL_has_pending(stream->ssl) == 1;
}

static inline void stream_close(struct stream *stream)
{
    SSL_free(stream->ssl);
    close(stream->fd);
    *stream = (struct stream){ .fd = -1 };
}

#endif
