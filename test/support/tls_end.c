/* tls_end: puts TLS around plain connections, so that a test holds both ends of a session as plain sockets.
 *
 *   tls_end client --to PORT   who connects to it in plain is connected to PORT in TLS
 *   tls_end server --to PORT   who connects to it in TLS is connected to PORT in plain
 *
 * It listens on 127.0.0.1 and prints "port=N"; then a line for each handshake, "done ..." or "failed ...". An
 * end of stream in plain is a close_notify in TLS and the other way round; TLS that is cut off, and every reset,
 * is a reset in plain. What the plain side does not read is not read from TLS either. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECE 16384

static SSL_CTX *context;
static int is_server, to_port, own_port, resume, cut, fin, flood, renegotiate, pieces, mute, late;
static const char *name;
static SSL_SESSION *kept;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

struct run { uint8_t at[16 * PIECE]; size_t from, to; };

static int keep(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    pthread_mutex_lock(&lock);
    SSL_SESSION_free(kept);
    kept = SSL_SESSION_dup(session); /* OpenSSL spoils the one of a connection that is reset */
    pthread_mutex_unlock(&lock);
    return 0;
}

/* A server takes the protocol that it was told of, if it is offered. */
static int choose(SSL *ssl, const unsigned char **out, unsigned char *out_bytes, const unsigned char *offered,
                  unsigned int bytes, void *own)
{
    (void)ssl;
    const unsigned char *list = own;
    return SSL_select_next_proto((unsigned char **)out, out_bytes, list, list[0] + 1u, offered, bytes) ==
                   OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_NOACK;
}

static struct sockaddr_in at_port(int port)
{
    return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static void reset(int fd)
{
    struct linger now = { 1, 0 };
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

static void tell(SSL *ssl)
{
    char who[256] = "-";
    const unsigned char *alpn, *ocsp;
    unsigned int alpn_bytes;
    X509 *peer = SSL_get0_peer_certificate(ssl);
    const char *asked = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    if (peer != NULL)
        X509_NAME_get_text_by_NID(X509_get_subject_name(peer), NID_commonName, who, sizeof who);
    SSL_get0_alpn_selected(ssl, &alpn, &alpn_bytes);
    long stapled = is_server ? -1 : SSL_get_tlsext_status_ocsp_resp(ssl, &ocsp);
    pthread_mutex_lock(&lock);
    printf("done version=%s cipher=%s resumed=%d peer=%s key=%s name=%s protocol=%.*s ocsp=%ld\n",
           SSL_get_version(ssl), SSL_get_cipher_name(ssl), SSL_session_reused(ssl), who,
           peer == NULL ? "-" : EVP_PKEY_get0_type_name(X509_get0_pubkey(peer)), asked == NULL ? "-" : asked,
           alpn == NULL ? 1 : (int)alpn_bytes, alpn == NULL ? "-" : (const char *)alpn, stapled);
    fflush(stdout);
    pthread_mutex_unlock(&lock);
}

static void tell_failure(SSL *ssl)
{
    unsigned long error = ERR_peek_error();
    pthread_mutex_lock(&lock);
    printf("failed verify=%ld reason=%d\n", SSL_get_verify_result(ssl), ERR_GET_REASON(error));
    fflush(stdout);
    pthread_mutex_unlock(&lock);
}

/* Sends what TLS has to say, in pieces if asked; 0 when some of it must wait, -1 when the socket is broken. */
static int flush(int fd, BIO *out, struct run *run, unsigned *seed)
{
    for (;;) {
        if (run->from == run->to) {
            int n = BIO_read(out, run->at, sizeof run->at);
            if (n <= 0)
                return 1;
            run->from = 0, run->to = (size_t)n;
        }
        size_t left = run->to - run->from, some = pieces ? 1 + (size_t)rand_r(seed) % (rand_r(seed) % 3 ? 7 : 3000) : left;
        ssize_t n = send(fd, run->at + run->from, some < left ? some : left, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN ? 0 : -1;
        run->from += (size_t)n;
    }
}

static void *serve(void *given)
{
    int accepted = (int)(intptr_t)given, other = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    struct sockaddr_in to = at_port(to_port);
    int there = connect(other, (struct sockaddr *)&to, sizeof to) == 0;
    int tcp = is_server ? accepted : other, plain = is_server ? other : accepted;
    setsockopt(tcp, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(plain, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    unsigned seed = (unsigned)pieces;
    SSL *ssl = SSL_new(context);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    struct run *wire = calloc(1, sizeof *wire), *up = calloc(1, sizeof *up), *down = calloc(1, sizeof *down);
    BIO_set_mem_eof_return(in, -1);
    BIO_set_mem_eof_return(out, -1);
    SSL_set_bio(ssl, in, out);
    if (is_server)
        SSL_set_accept_state(ssl);
    else {
        SSL_set_connect_state(ssl);
        if (name != NULL)
            SSL_set_tlsext_host_name(ssl, name);
        pthread_mutex_lock(&lock);
        if (resume && kept != NULL)
            SSL_set_session(ssl, kept);
        pthread_mutex_unlock(&lock);
    }
    int shaken = 0, tcp_eof = 0, plain_eof = 0, plain_fin = 0, told = 0, flooded = 0, broken = !there;
    for (int flags = 1; !broken;) {
        ERR_clear_error();
        int moved = 0, waits = 0;
        if (!shaken) {
            int n = SSL_do_handshake(ssl);
            if (n == 1) {
                shaken = moved = 1;
                tell(ssl);
            } else if (SSL_get_error(ssl, n) != SSL_ERROR_WANT_READ || tcp_eof) {
                tell_failure(ssl);
                flush(tcp, out, wire, &seed);
                break;
            }
        } else if (flooded < flood) {
            for (int burst = 0; burst < 5000 && flooded < flood && SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED) == 1; burst++, flooded++)
                SSL_do_handshake(ssl);
            moved = 1;
        } else if (renegotiate > 0) {
            renegotiate--;
            SSL_renegotiate(ssl);
            SSL_do_handshake(ssl);
        }
        /* TLS to plain */
        if (shaken && down->from == down->to) {
            int n = mute ? 0 : SSL_read(ssl, down->at, sizeof down->at);
            if (n > 0)
                down->from = 0, down->to = (size_t)n;
            else if (!mute && SSL_get_error(ssl, n) == SSL_ERROR_SSL)
                break;
        }
        if (down->from < down->to) {
            ssize_t n = send(plain, down->at + down->from, down->to - down->from, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (n > 0)
                down->from += (size_t)n, moved = 1;
            else if (errno != EAGAIN)
                break;
        } else if (SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN && !plain_fin) {
            shutdown(plain, SHUT_WR);
            plain_fin = moved = 1;
        } else if (tcp_eof && !plain_fin) {
            break; /* cut off */
        }
        /* plain to TLS */
        if (shaken && !plain_eof && up->from == up->to && wire->from == wire->to) {
            ssize_t n = recv(plain, up->at, PIECE, MSG_DONTWAIT);
            if (n > 0)
                up->from = 0, up->to = (size_t)n;
            else if (n == 0)
                plain_eof = 1;
            else if (errno != EAGAIN)
                break;
        }
        if (up->from < up->to && wire->from == wire->to) {
            size_t left = up->to - up->from, some = pieces ? 1 + (size_t)rand_r(&seed) % (rand_r(&seed) % 3 ? 90 : PIECE) : left;
            int n = SSL_write(ssl, up->at + up->from, (int)(some < left ? some : left));
            if (n > 0)
                up->from += (size_t)n, moved = 1;
            else
                break;
        }
        if (plain_eof && !told && up->from == up->to) {
            if (!cut)
                SSL_shutdown(ssl);
            told = moved = 1;
        }
        int flushed = flush(tcp, out, wire, &seed);
        if (flushed < 0)
            break;
        waits = flushed == 0;
        if (told && !waits && (cut || fin) && flags) {
            shutdown(tcp, SHUT_WR);
            flags = 0;
        }
        if (plain_eof && plain_fin && !waits) {
            broken = -1;
            break;
        }
        /* TCP to TLS */
        if (!tcp_eof && BIO_ctrl_pending(in) < PIECE && down->from == down->to && !(mute && shaken)) {
            uint8_t at[PIECE];
            ssize_t n = recv(tcp, at, sizeof at, MSG_DONTWAIT);
            if (n > 0)
                BIO_write(in, at, (int)n), moved = 1;
            else if (n == 0)
                tcp_eof = moved = 1;
            else if (errno != EAGAIN)
                break;
        }
        if (moved)
            continue;
        struct pollfd fds[2] = {
            { .fd = plain, .events = (short)((shaken && !plain_eof && up->from == up->to ? POLLIN : 0) |
                                             (down->from < down->to ? POLLOUT : 0)) },
            { .fd = tcp_eof ? -1 : tcp, .events = (short)((down->from == down->to && !(mute && shaken) ? POLLIN : 0) | (waits ? POLLOUT : 0)) },
        };
        /* A ticket nobody waits for, when it has been quiet for a while. */
        if (poll(fds, 2, late > 0 && shaken ? 50 : 60000) == 0 && late > 0 && SSL_new_session_ticket(ssl) == 1) {
            late--;
            SSL_do_handshake(ssl);
            printf("late\n");
            fflush(stdout);
        }
        broken = (fds[0].revents & POLLERR) != 0;
    }
    if (broken >= 0) {
        reset(plain);
        if (shaken)
            reset(tcp);
    }
    SSL_free(ssl);
    free(wire), free(up), free(down);
    close(tcp), close(plain);
    return NULL;
}

static int version(const char *text) { return strcmp(text, "1.2") == 0 ? TLS1_2_VERSION : strcmp(text, "1.1") == 0 ? TLS1_1_VERSION : TLS1_3_VERSION; }

int main(int count, char **words)
{
    static const struct option options[] = {
        { "to", 1, 0, 't' }, { "name", 1, 0, 'n' }, { "ca", 1, 0, 'a' }, { "cert", 1, 0, 'c' }, { "key", 1, 0, 'k' },
        { "version", 1, 0, 'v' }, { "ciphers", 1, 0, 'i' }, { "alpn", 1, 0, 'p' }, { "ask", 1, 0, 'q' },
        { "pieces", 1, 0, 's' }, { "flood", 1, 0, 'f' }, { "renegotiate", 1, 0, 'g' },
        { "late", 1, 0, 'l' }, { "listen", 1, 0, 'o' }, { "resume", 0, 0, 'r' }, { "cut", 0, 0, 'x' }, { "fin", 0, 0, 'e' }, { "mute", 0, 0, 'm' }, { 0, 0, 0, 0 },
    };
    if (count < 2)
        return 2;
    signal(SIGPIPE, SIG_IGN);
    is_server = strcmp(words[1], "server") == 0;
    context = SSL_CTX_new(TLS_method());
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_ALLOW_CLIENT_RENEGOTIATION);
    if (!is_server) {
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(context, keep);
        SSL_CTX_set_tlsext_status_type(context, TLSEXT_STATUSTYPE_ocsp);
    }
    SSL_CTX_set_session_id_context(context, (const uint8_t *)"end", 3);
    int good = 1;
    optind = 2;
    for (int option; (option = getopt_long(count, words, "", options, NULL)) != -1;) switch (option) {
        case 't': to_port = atoi(optarg); break;
        case 'n': name = optarg; break;
        case 'a':
            good &= SSL_CTX_load_verify_file(context, optarg);
            SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
            break;
        case 'q':
            good &= SSL_CTX_load_verify_file(context, optarg);
            SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
            break;
        case 'c': good &= SSL_CTX_use_certificate_chain_file(context, optarg); break;
        case 'k': good &= SSL_CTX_use_PrivateKey_file(context, optarg, SSL_FILETYPE_PEM); break;
        case 'v':
            SSL_CTX_set_min_proto_version(context, version(optarg));
            SSL_CTX_set_max_proto_version(context, version(optarg));
            if (version(optarg) == TLS1_1_VERSION)
                SSL_CTX_set_cipher_list(context, "DEFAULT:@SECLEVEL=0");
            break;
        case 'i': good &= SSL_CTX_set_cipher_list(context, optarg); break;
        case 'p': {
            static uint8_t list[256];
            list[0] = (uint8_t)strlen(optarg);
            memcpy(list + 1, optarg, list[0]);
            SSL_CTX_set_alpn_select_cb(context, choose, list);
            good &= SSL_CTX_set_alpn_protos(context, list, list[0] + 1u) == 0;
            break;
        }
        case 'l': late = atoi(optarg); break;
        case 'o': own_port = atoi(optarg); break;
        case 's': pieces = atoi(optarg); break;
        case 'f': flood = atoi(optarg); break;
        case 'g': renegotiate = atoi(optarg); break;
        case 'r': resume = 1; break;
        case 'x': cut = 1; break;
        case 'e': fin = 1; break;
        case 'm': mute = 1; break;
        default: return 2;
    }
    if (!good) {
        ERR_print_errors_fp(stderr);
        return 1;
    }
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = at_port(own_port);
    socklen_t length = sizeof at;
    int again = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &again, sizeof again);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 1024) ||
        getsockname(listener, (struct sockaddr *)&at, &length))
        return 1;
    printf("port=%d\n", ntohs(at.sin_port));
    fflush(stdout);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        pthread_t thread;
        if (fd >= 0 && pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd) == 0)
            pthread_detach(thread);
    }
}
