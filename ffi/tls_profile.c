/* tls_profile.c: settings of a listener or an upstream, by number. What kind it is, its policy, protocols and
 * pins are set before reactors hear of the number. Whom it believes and what it shows to servers may change at
 * any time, each as a whole: a reactor sees by <changes> that its context is of before, and makes a new one for
 * the sessions to come. */
#include "tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static struct sl_profile *profiles[SL_PROFILES_MAX];

struct sl_profile *sl_profile_get(int32_t profile)
{
    return profile > 0 && profile < SL_PROFILES_MAX ? profiles[profile] : NULL;
}

/* Contexts that were made before are of before. A number that is given again begins where nobody has been. */
void sl_profile_changed(struct sl_profile *profile)
{
    static _Atomic int32_t last;
    atomic_store(&profile->changes, atomic_fetch_add(&last, 1) + 1);
}

/* Makes profile <profile>: <kind> 0 of a listener, 1 of an upstream; <policy> 0 modern, 1 compatible;
 * <verify> 0 the peer's certificate is not asked for (not looked at), 1 it may be missing, 2 it must hold;
 * <flags> 1: a name without certificate is asked for (sl_handshake answers -EINPROGRESS). */
int32_t sl_profile_open(int32_t profile, int32_t kind, int32_t policy, int32_t verify, int32_t flags)
{
    CHECK(profile > 0 && profile < SL_PROFILES_MAX && profiles[profile] == NULL);
    CHECK(kind >= 0 && kind <= 1 && policy >= 0 && policy <= 1 && verify >= 0 && verify <= 2);
    struct sl_profile *made = calloc(1, sizeof *made);
    if (made == NULL)
        return -ENOMEM;
    made->kind = kind, made->policy = policy, made->verify = verify, made->flags = flags;
    made->session_context[0] = (uint8_t)verify;
    sl_profile_changed(made);
    profiles[profile] = made;
    return 0;
}

/* Reads certificates and revocation lists, PEM, into a store, and the certificates' names. Returns how many
 * certificates; -EINVAL, -ENOMEM. */
static int32_t read_trust(X509_STORE *trust, STACK_OF(X509_NAME) *names, const uint8_t *pem, int32_t bytes)
{
    ERR_clear_error();
    BIO *in = BIO_new_mem_buf(pem, bytes);
    /* Nobody has a password: by OpenSSL's default it would be asked for on a terminal. */
    STACK_OF(X509_INFO) *infos = in == NULL ? NULL : PEM_X509_INFO_read_bio(in, NULL, NULL, (void *)"");
    BIO_free(in);
    if (infos == NULL)
        return -EINVAL;
    int32_t count = 0;
    for (int i = 0; count >= 0 && i < sk_X509_INFO_num(infos); i++) {
        X509_INFO *info = sk_X509_INFO_value(infos, i);
        /* Of everybody in the chain: who was signed by somebody revoked is as well. */
        if (info->crl != NULL && X509_STORE_add_crl(trust, info->crl) == 1)
            X509_STORE_set_flags(trust, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
        if (info->x509 == NULL || X509_STORE_add_cert(trust, info->x509) != 1)
            continue;
        X509_NAME *name = X509_NAME_dup(X509_get_subject_name(info->x509));
        if (name != NULL && sk_X509_NAME_push(names, name)) {
            count++;
            continue;
        }
        X509_NAME_free(name);
        count = -ENOMEM;
    }
    sk_X509_INFO_pop_free(infos, X509_INFO_free);
    ERR_clear_error();
    return count;
}

/* Believes these from here on, and nobody else. */
static int32_t set_trust(struct sl_profile *profile, const uint8_t *pem, int32_t bytes)
{
    X509_STORE *trust = X509_STORE_new();
    STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
    int32_t count = trust == NULL || names == NULL ? -ENOMEM : read_trust(trust, names, pem, bytes);
    if (count >= 0) {
        X509_STORE *trust_before = profile->trust;
        STACK_OF(X509_NAME) *names_before = profile->authorities;
        uint8_t digest[SHA256_DIGEST_LENGTH];
        SHA256(pem, (size_t)bytes, digest);
        pthread_rwlock_wrlock(&lock);
        profile->trust = trust, profile->authorities = names;
        /* A session that was opened under another trust is not resumed under this one. */
        memcpy(profile->session_context + 1, digest, sizeof profile->session_context - 1);
        sl_profile_changed(profile);
        pthread_rwlock_unlock(&lock);
        trust = trust_before, names = names_before;
    }
    X509_STORE_free(trust);
    sk_X509_NAME_pop_free(names, X509_NAME_free);
    return count;
}

/* Sets something of a profile: <what> 0 ALPN (each name behind its length; a server's order is its wish), 1 whom
 * it believes, certificates of authorities and their revocation lists in PEM, instead of those before, at any
 * time, 2 pins (SHA-256 of the key's SubjectPublicKeyInfo, 32 bytes each). Returns how many certificates were
 * read (1), or 0; -EINVAL, -ENOMEM. */
int32_t sl_profile_set(int32_t profile, int32_t what, const uint8_t *given, int32_t bytes)
{
    struct sl_profile *p = sl_profile_get(profile);
    CHECK(p != NULL && bytes >= 0);
    switch (what) {
    case 0:
        if (bytes > ALPN_BYTES_MAX)
            return -EINVAL;
        memcpy(p->alpn, given, (size_t)bytes);
        p->alpn_bytes = bytes;
        return 0;
    case 1:
        return set_trust(p, given, bytes);
    case 2:
        if (bytes % PIN_BYTES != 0 || bytes > PINS_MAX * PIN_BYTES)
            return -EINVAL;
        memcpy(p->pins, given, (size_t)bytes);
        p->pin_count = bytes / PIN_BYTES;
        return 0;
    default:
        return -EINVAL;
    }
}

/* Gives a profile's number back: reactors work by no Plan any more that has it. -EBUSY while a session is of it. */
int32_t sl_profile_close(int32_t profile)
{
    struct sl_profile *p = sl_profile_get(profile);
    CHECK(p != NULL);
    if (atomic_load(&p->sessions) != 0)
        return -EBUSY;
    profiles[profile] = NULL;
    sl_names_drop(p);
    X509_STORE_free(p->trust);
    sk_X509_NAME_pop_free(p->authorities, X509_NAME_free);
    sl_cert_release(p->own);
    free(p);
    return 0;
}

/* What a profile of an upstream shows to servers that ask, instead of what it did before; 0: nothing. */
int32_t sl_profile_own(int32_t profile, int32_t cert)
{
    struct sl_profile *p = sl_profile_get(profile);
    struct sl_cert *own = sl_cert_get(cert);
    CHECK(p != NULL && (own != NULL || cert == 0));
    if (own != NULL)
        atomic_fetch_add(&own->refs, 1);
    pthread_rwlock_wrlock(&lock);
    struct sl_cert *before = p->own;
    p->own = own;
    sl_profile_changed(p);
    pthread_rwlock_unlock(&lock);
    sl_cert_release(before);
    return 0;
}

/* Gives a new context what of its profile may change. Returns 1, or 0 as OpenSSL's calls do. */
int32_t sl_profile_apply(struct sl_profile *profile, SSL_CTX *context)
{
    pthread_rwlock_rdlock(&lock);
    if (profile->trust != NULL)
        SSL_CTX_set1_cert_store(context, profile->trust);
    int good = SSL_CTX_set_session_id_context(context, profile->session_context, sizeof profile->session_context);
    if (profile->kind == 0 && profile->authorities != NULL)
        SSL_CTX_set_client_CA_list(context, SSL_dup_CA_list(profile->authorities));
    struct sl_cert *own = profile->own;
    if (own != NULL)
        good = good && SSL_CTX_use_cert_and_key(context, own->leaf, own->key, own->chain, 1) == 1;
    pthread_rwlock_unlock(&lock);
    return good == 1;
}
