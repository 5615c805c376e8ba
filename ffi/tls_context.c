/* tls_context.c: what a reactor makes of a profile: an SSL_CTX of its own (OpenSSL 3.0 contends on locks
 * between threads), made when the first connection needs it, and the callbacks of a handshake. */
#include "tls.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Forward secrecy and authenticated encryption only. Compatible adds what clients of before 2014 have, for
 * TLS 1.2: CBC with a MAC, still with forward secrecy. Nothing here speaks TLS 1.1. */
#define MODERN \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:" \
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define COMPATIBLE MODERN \
    ":ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:" \
    "ECDHE-ECDSA-AES256-SHA384:ECDHE-RSA-AES256-SHA384:ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA"
#define SUITES "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define GROUPS "X25519:P-256:P-384"
#define READ_BYTES 65536
#define TICKET_SECONDS 86400
#define CHALLENGE_ALPN "\x0a" "acme-tls/1"

static EVP_CIPHER *ticket_cipher;
static int32_t ktls_there;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void prepare(void)
{
    /* Not by the machine's openssl.cnf: what Sluice does shall not depend on it. */
    OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
    ticket_cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd == -1)
        return;
    /* ENOTCONN: the kernel knows it, and wants a connection first. */
    ktls_there = setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof "tls") == 0 || errno == ENOTCONN;
    close(fd);
}

/* Whether the kernel does records of TLS. */
int32_t sl_ktls(void)
{
    pthread_once(&once, prepare);
    return ktls_there;
}

/* Seals or opens a session ticket (SSL_CTX_set_tlsext_ticket_key_evp_cb(3)): 0 does without one, 2 asks for a
 * new one behind it. In TLS 1.3 that is always: clients use a ticket once (RFC 8446 appendix C.4), and who got no
 * other would pay every second connection in full. */
static int ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int seal)
{
    uint8_t key[TICKET_KEY_BYTES];
    int32_t which = seal ? sl_ticket_key_first(key) : sl_ticket_key_named(name, key);
    if (which == 0)
        return 0;
    if (seal) {
        memcpy(name, key, 16);
        if (RAND_bytes(iv, 16) != 1)
            return -1;
    }
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key + 16, 32),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_end(),
    };
    int done = EVP_MAC_CTX_set_params(mac, params) == 1 &&
               (seal ? EVP_EncryptInit_ex2(cipher, ticket_cipher, key + 48, iv, NULL)
                     : EVP_DecryptInit_ex2(cipher, ticket_cipher, key + 48, iv, NULL)) == 1;
    OPENSSL_cleanse(key, sizeof key);
    if (!done)
        return -1;
    return !seal && SSL_version(ssl) == TLS1_3_VERSION ? 2 : which;
}

/* The first look at a ClientHello: that it is one, and whether it is a challenge's. */
static int hello(SSL *ssl, int *alert, void *unused)
{
    (void)alert, (void)unused;
    const unsigned char *alpn;
    size_t bytes;
    sl_tls_current->hello = 1;
    /* RFC 8737 section 3: the one protocol offered. Two bytes of list length are before it. */
    if (sl_challenges() > 0 && SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation,
                                                         &alpn, &bytes) == 1)
        sl_tls_current->challenge = bytes == 2 + sizeof CHALLENGE_ALPN - 1 &&
                                    memcmp(alpn + 2, CHALLENGE_ALPN, sizeof CHALLENGE_ALPN - 1) == 0;
    return SSL_CLIENT_HELLO_SUCCESS;
}

/* Takes the name that was asked for (SSL_CTX_set_tlsext_servername_callback(3)): in TLS 1.2 a session that is
 * resumed has the name of its first handshake, and only one that was taken. */
static int named(SSL *ssl, int *alert, void *unused)
{
    (void)ssl, (void)alert, (void)unused;
    return SSL_TLSEXT_ERR_OK;
}

/* Whether these are the certificates that the profile's SSL_CTX has. */
static int is_ready(const struct sl_ready *ready, struct sl_cert *const *found, int32_t count)
{
    for (int32_t i = 0; i < CERTS_OF_NAME_MAX; i++)
        if (ready->certs[i] != (i < count ? found[i] : NULL))
            return 0;
    return 1;
}

/* Gives the profile's SSL_CTX the certificates for whoever names none, which most listeners show to everybody:
 * to check that key and certificate belong together takes longer than to copy both. */
static void make_ready(SSL_CTX *context, struct sl_ready *ready, struct sl_profile *profile)
{
    int32_t count = sl_names_find(profile, NULL, ready->certs);
    for (int32_t i = 0; i < count; i++)
        if (SSL_CTX_use_cert_and_key(context, ready->certs[i]->leaf, ready->certs[i]->key, ready->certs[i]->chain, 1) != 1)
            ERR_clear_error(); /* the handshake will tell */
}

/* Which certificates a client is shown, by the name it asked for: SSL_CTX_set_cert_cb(3). */
static int choose(SSL *ssl, void *given)
{
    struct sl_profile *profile = given;
    struct sl_tls *tls = sl_tls_current;
    struct sl_cert *found[CERTS_OF_NAME_MAX];
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    int32_t count = tls->challenge ? sl_challenge_find(name, found) : sl_names_find(profile, name, found);
    if (count == 0) {
        if (!tls->challenge && !tls->refused && name != NULL && profile->flags & SL_PROFILE_ASKS)
            return -1;
        tls->fault = FAULT_NO_CERT_FOR_NAME;
        return 0;
    }
    for (int32_t i = 0; i < CERTS_OF_NAME_MAX; i++) {
        sl_cert_release(tls->shown[i]);
        tls->shown[i] = i < count ? found[i] : NULL;
    }
    if (SSL_get_SSL_CTX(ssl) == me->contexts[tls->profile] && is_ready(me->ready[tls->profile], found, count))
        return 1; /* SSL_new has copied them */
    SSL_certs_clear(ssl);
    int good = 1;
    for (int32_t i = 0; i < count; i++)
        good = good && SSL_use_cert_and_key(ssl, found[i]->leaf, found[i]->key, found[i]->chain, 1) == 1;
    return good;
}

/* Which protocol follows, by our order: SSL_CTX_set_alpn_select_cb(3). Who offers none of ours is refused,
 * as RFC 7301 section 3.2 asks: it would speak what we do not. */
static int protocol(SSL *ssl, const unsigned char **out, unsigned char *out_bytes, const unsigned char *offered,
                    unsigned int bytes, void *given)
{
    struct sl_profile *profile = given;
    (void)ssl;
    if (sl_tls_current->challenge) {
        *out = (const unsigned char *)CHALLENGE_ALPN + 1, *out_bytes = sizeof CHALLENGE_ALPN - 2;
        return SSL_TLSEXT_ERR_OK;
    }
    if (profile->alpn_bytes == 0)
        return SSL_TLSEXT_ERR_NOACK;
    unsigned char *chosen;
    int how = SSL_select_next_proto(&chosen, out_bytes, profile->alpn, (unsigned)profile->alpn_bytes, offered, bytes);
    *out = chosen;
    return how == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* The OCSP response of the certificate that is shown: SSL_CTX_set_tlsext_status_cb(3). */
static int staple(SSL *ssl, void *unused)
{
    (void)unused;
    struct sl_tls *tls = sl_tls_current;
    X509 *leaf = SSL_get_certificate(ssl);
    for (int i = 0; i < CERTS_OF_NAME_MAX && tls->shown[i] != NULL; i++) {
        uint8_t *copy;
        int32_t bytes = tls->shown[i]->leaf == leaf ? sl_cert_staple_copy(tls->shown[i], &copy) : 0;
        if (bytes > 0) {
            SSL_set_tlsext_status_ocsp_resp(ssl, copy, bytes);
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_NOACK;
}

/* A server gave a session: the next connection to it begins with it. Not one under settings of before: it would
 * be taken without a look at the server's certificate. */
static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct sl_tls *tls = sl_tls_current;
    if (tls == NULL || me == NULL || tls->server <= 0 || tls->server >= SL_SERVERS_MAX ||
        SSL_get_SSL_CTX(ssl) != me->contexts[tls->profile])
        return 0;
    struct sl_kept_session *kept = &me->sessions[tls->server];
    SSL_SESSION_free(kept->session);
    kept->session = session, kept->profile = tls->profile, kept->changes = me->ready[tls->profile]->changes;
    kept->name = tls->name;
    if (tls->server >= me->sessions_end)
        me->sessions_end = tls->server + 1;
    return 1;
}

/* The session to begin a connection with, or NULL; the caller's reference. The profile has a context. One that was begun
 * with another name would be taken without a look at the certificate's. */
SSL_SESSION *sl_session_of(int32_t server, int32_t profile, uint64_t name)
{
    if (server <= 0 || server >= SL_SERVERS_MAX || me->sessions[server].profile != profile ||
        me->sessions[server].name != name || me->sessions[server].changes != me->ready[profile]->changes)
        return NULL;
    SSL_SESSION *session = me->sessions[server].session;
    if (session == NULL || !SSL_SESSION_is_resumable(session))
        return NULL;
    SSL_SESSION_up_ref(session);
    return session;
}

/* Whether a certificate's key is one of the pinned ones. */
static int is_pinned(const struct sl_profile *profile, X509 *certificate)
{
    uint8_t *der = NULL, digest[SHA256_DIGEST_LENGTH];
    int bytes = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
    if (bytes <= 0)
        return 0;
    SHA256(der, (size_t)bytes, digest);
    OPENSSL_free(der);
    for (int32_t i = 0; i < profile->pin_count; i++)
        if (memcmp(profile->pins[i], digest, PIN_BYTES) == 0)
            return 1;
    return 0;
}

/* Verifies a server's certificate where keys are pinned (SSL_CTX_set_cert_verify_callback(3)): its own, or that of
 * one of those that it was verified by. Where nothing is verified the others are anybody's word. */
static int pinned(X509_STORE_CTX *store, void *given)
{
    const struct sl_profile *profile = given;
    if (profile->verify > 0 && X509_verify_cert(store) != 1)
        return 0;
    STACK_OF(X509) *chain = profile->verify > 0 ? X509_STORE_CTX_get0_chain(store) : NULL;
    int holds = is_pinned(profile, X509_STORE_CTX_get0_cert(store));
    for (int i = 1; !holds && i < sk_X509_num(chain); i++)
        holds = is_pinned(profile, sk_X509_value(chain, i));
    if (holds)
        return 1;
    X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
    sl_tls_current->fault = FAULT_PIN;
    return 0;
}

/* Whether the session in a ticket is resumed (SSL_CTX_set_session_ticket_cb(3)): not when the certificate that the
 * client gave has ended since, which nobody would look at again. */
static SSL_TICKET_RETURN resume(SSL *ssl, SSL_SESSION *session, const unsigned char *name, size_t bytes,
                                SSL_TICKET_STATUS status, void *unused)
{
    (void)ssl, (void)name, (void)bytes, (void)unused;
    if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    const X509 *client = SSL_SESSION_get0_peer(session);
    if (client != NULL && X509_cmp_current_time(X509_get0_notAfter(client)) < 0)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

static int sealed(SSL *ssl, void *unused)
{
    (void)ssl, (void)unused;
    return 1;
}

static void listener_context(SSL_CTX *context, struct sl_profile *profile)
{
    /* Stateless: a session is in its ticket, nothing of it stays here. */
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_timeout(context, TICKET_SECONDS);
    SSL_CTX_set_num_tickets(context, 1); /* a client that opens several connections gets one with each */
    SSL_CTX_set_tlsext_ticket_key_evp_cb(context, ticket);
    SSL_CTX_set_session_ticket_cb(context, sealed, resume, NULL);
    SSL_CTX_set_client_hello_cb(context, hello, NULL);
    SSL_CTX_set_tlsext_servername_callback(context, named);
    SSL_CTX_set_cert_cb(context, choose, profile);
    SSL_CTX_set_alpn_select_cb(context, protocol, profile);
    SSL_CTX_set_tlsext_status_cb(context, staple);
    SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    if (profile->verify > 0)
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER | (profile->verify == 2 ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
                           NULL);
}

static int upstream_context(SSL_CTX *context, struct sl_profile *profile)
{
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, keep_session);
    SSL_CTX_set_verify(context, profile->verify > 0 || profile->pin_count > 0 ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    if (profile->pin_count > 0)
        SSL_CTX_set_cert_verify_callback(context, pinned, profile);
    return profile->alpn_bytes == 0 ||
           SSL_CTX_set_alpn_protos(context, profile->alpn, (unsigned)profile->alpn_bytes) == 0;
}

static SSL_CTX *context_new(struct sl_profile *profile)
{
    SSL_CTX *context = SSL_CTX_new(profile->kind == 0 ? TLS_server_method() : TLS_client_method());
    if (context == NULL)
        return NULL;
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF |
                                     (ktls_there ? SSL_OP_ENABLE_KTLS : 0));
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, READ_BYTES); /* for as long as something is in it */
    int good = SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
               SSL_CTX_set_cipher_list(context, profile->policy == 0 ? MODERN : COMPATIBLE) == 1 &&
               SSL_CTX_set_ciphersuites(context, SUITES) == 1 && SSL_CTX_set1_groups_list(context, GROUPS) == 1 &&
               sl_profile_apply(profile, context);
    if (profile->kind == 0)
        listener_context(context, profile);
    else
        good = good && upstream_context(context, profile);
    if (good)
        return context;
    SSL_CTX_free(context);
    return NULL;
}

static void ready_free(struct sl_ready *ready)
{
    for (int i = 0; ready != NULL && i < CERTS_OF_NAME_MAX; i++)
        sl_cert_release(ready->certs[i]);
    free(ready);
}

/* The room's SSL_CTX of a profile as it is now, or NULL when there is no memory. Sessions keep the one that they
 * began with. */
SSL_CTX *sl_context(int32_t number)
{
    struct sl_profile *profile = sl_profile_get(number);
    if (profile == NULL)
        return NULL;
    int32_t changes = atomic_load(&profile->changes);
    if (me->contexts[number] != NULL && me->ready[number]->changes == changes)
        return me->contexts[number];
    pthread_once(&once, prepare);
    struct sl_ready *ready = calloc(1, sizeof *ready);
    SSL_CTX *context = ready == NULL ? NULL : context_new(profile);
    if (context == NULL) {
        free(ready);
        ERR_clear_error();
        return NULL;
    }
    ready->changes = changes;
    if (profile->kind == 0)
        make_ready(context, ready, profile);
    SSL_CTX_free(me->contexts[number]);
    ready_free(me->ready[number]);
    me->ready[number] = ready;
    return me->contexts[number] = context;
}

/* Frees what a room made of profiles, its sessions with servers, and the BIO of those that it had. */
void sl_contexts_free(struct sl_room *room)
{
    for (int32_t profile = 1; room->contexts != NULL && room->ready != NULL && profile < SL_PROFILES_MAX; profile++) {
        SSL_CTX_free(room->contexts[profile]);
        ready_free(room->ready[profile]);
    }
    for (int32_t server = 1; room->sessions_end > 0 && server < room->sessions_end; server++)
        SSL_SESSION_free(room->sessions[server].session);
    BIO_free(room->bio);
}
