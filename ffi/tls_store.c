/* tls_store.c: what TLS needs and the control plane gives: certificates, numbered and counted; for each
 * profile which names have which; the certificates of challenges; the keys of tickets. It changes while
 * reactors run, a name table as a whole: readers hold the lock for one look. Numbers are the control plane's
 * alone: reactors meet certificates by name. */
#include "tls.h"

#include <ctype.h>
#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* A table of names: open addressing, a power of two, at most half full. */
struct sl_name { char *name; struct sl_cert *certs[CERTS_OF_NAME_MAX]; };
struct sl_names { uint32_t size, count; struct sl_name *rows; struct sl_cert *fallback[CERTS_OF_NAME_MAX]; };

static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static struct sl_cert *certs[SL_CERTS_MAX];
static int32_t certs_free = 1; /* no number below it is */
static struct sl_names *challenges;
static _Atomic int32_t challenge_count;
static uint8_t ticket_keys[TICKET_KEYS_MAX][TICKET_KEY_BYTES];
static int32_t ticket_key_count;
/* The table that names_add writes to, until names_commit: the control plane's alone. */
static struct sl_names *growing;
static int32_t growing_for;

static struct sl_names *names_new(uint32_t size)
{
    struct sl_names *names = calloc(1, sizeof *names);
    if (names == NULL || (names->rows = calloc(size, sizeof *names->rows)) == NULL) {
        free(names);
        return NULL;
    }
    names->size = size;
    return names;
}

static void names_free(struct sl_names *names)
{
    if (names == NULL)
        return;
    for (uint32_t row = 0; row < names->size; row++) {
        for (int i = 0; i < CERTS_OF_NAME_MAX; i++)
            sl_cert_release(names->rows[row].certs[i]);
        free(names->rows[row].name);
    }
    for (int i = 0; i < CERTS_OF_NAME_MAX; i++)
        sl_cert_release(names->fallback[i]);
    free(names->rows);
    free(names);
}

/* FNV-1a, of a name in the case that it counts in. Names are the configuration's: nobody looks for two that are alike. */
uint64_t sl_name_hash(const char *name)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (; *name != '\0'; name++)
        h = (h ^ (uint8_t)*name) * 0x100000001b3u;
    return h;
}

/* The row of a name, or the free one where it belongs. */
static struct sl_name *row_of(const struct sl_names *names, const char *name)
{
    for (uint32_t at = (uint32_t)sl_name_hash(name);; at++) {
        struct sl_name *row = &names->rows[at & (names->size - 1)];
        if (row->name == NULL || strcmp(row->name, name) == 0)
            return row;
    }
}

/* Makes room for one more. */
static int32_t names_grow(struct sl_names *names)
{
    if (2 * (names->count + 1) <= names->size)
        return 0;
    struct sl_names wide = { .size = 2 * names->size };
    wide.rows = calloc(wide.size, sizeof *wide.rows);
    if (wide.rows == NULL)
        return -ENOMEM;
    for (uint32_t at = 0; at < names->size; at++)
        if (names->rows[at].name != NULL)
            *row_of(&wide, names->rows[at].name) = names->rows[at];
    free(names->rows);
    names->rows = wide.rows, names->size = wide.size;
    return 0;
}

/* A certificate for a name that has one of this kind of key already: the first one stays. */
static void add_cert(struct sl_cert **row, struct sl_cert *cert)
{
    for (int i = 0; i < CERTS_OF_NAME_MAX; i++) {
        if (row[i] != NULL && EVP_PKEY_get_base_id(row[i]->key) == EVP_PKEY_get_base_id(cert->key))
            return;
        if (row[i] == NULL) {
            atomic_fetch_add(&cert->refs, 1);
            row[i] = cert;
            return;
        }
    }
}

static int32_t names_put(struct sl_names *names, const char *name, struct sl_cert *cert)
{
    if (name[0] == '\0') {
        add_cert(names->fallback, cert);
        return 0;
    }
    int32_t grown = names_grow(names);
    if (grown != 0)
        return grown;
    struct sl_name *row = row_of(names, name);
    if (row->name == NULL) {
        if ((row->name = strdup(name)) == NULL)
            return -ENOMEM;
        names->count++;
    }
    if (cert != NULL)
        add_cert(row->certs, cert);
    return 0;
}

static int32_t take_all(struct sl_cert *const *row, struct sl_cert **found)
{
    int32_t count = 0;
    for (; count < CERTS_OF_NAME_MAX && row[count] != NULL; count++) {
        atomic_fetch_add(&row[count]->refs, 1);
        found[count] = row[count];
    }
    return count;
}

/* Lower case, without the dot of the root. NULL name: "". */
static void lower(const char *name, char *out)
{
    size_t length = 0;
    for (; name != NULL && name[length] != '\0' && length < NAME_BYTES_MAX; length++)
        out[length] = (char)tolower((unsigned char)name[length]);
    if (length > 0 && out[length - 1] == '.')
        length--;
    out[length] = '\0';
}

/* The row of a name in lower case: its own, or that of the wildcard one label up. NULL: it has none. Under the lock. */
static const struct sl_name *known_row(const struct sl_names *names, const char *asked)
{
    char wild[NAME_BYTES_MAX + 2] = "*";
    if (names == NULL || asked[0] == '\0')
        return NULL;
    const struct sl_name *row = row_of(names, asked);
    const char *dot = strchr(asked, '.');
    if (row->name == NULL && dot != NULL) {
        strcpy(wild + 1, dot);
        row = row_of(names, wild);
    }
    return row->name == NULL ? NULL : row;
}

/* The certificates for a name, each counted for the caller: its own, those of the wildcard one label up, or
 * the fallback's. Returns how many; 0: there are none. */
int32_t sl_names_find(struct sl_profile *profile, const char *name, struct sl_cert **found)
{
    char asked[NAME_BYTES_MAX + 1];
    lower(name, asked);
    pthread_rwlock_rdlock(&lock);
    const struct sl_name *row = known_row(profile->names, asked);
    /* Whoever may be asked for is not shown another's certificate. */
    int others = profile->names != NULL && (asked[0] == '\0' || !(profile->flags & SL_PROFILE_ASKS));
    int32_t count = row != NULL ? take_all(row->certs, found) : others ? take_all(profile->names->fallback, found) : 0;
    pthread_rwlock_unlock(&lock);
    return count;
}

/* Whether a name has certificates of its own, or those of the wildcard one label up. */
int32_t sl_names_has(struct sl_profile *profile, const char *name)
{
    char asked[NAME_BYTES_MAX + 1];
    lower(name, asked);
    pthread_rwlock_rdlock(&lock);
    const struct sl_name *row = known_row(profile->names, asked);
    int has = row != NULL && row->certs[0] != NULL;
    pthread_rwlock_unlock(&lock);
    return has;
}

int32_t sl_challenges(void) { return atomic_load(&challenge_count); }

/* The certificate of a TLS-ALPN-01 challenge for a name, counted for the caller. */
int32_t sl_challenge_find(const char *name, struct sl_cert **found)
{
    char asked[NAME_BYTES_MAX + 1];
    lower(name, asked);
    int32_t count = 0;
    pthread_rwlock_rdlock(&lock);
    if (challenges != NULL && asked[0] != '\0')
        count = take_all(row_of(challenges, asked)->certs, found);
    pthread_rwlock_unlock(&lock);
    return count;
}

void sl_cert_release(struct sl_cert *cert)
{
    if (cert == NULL || atomic_fetch_sub(&cert->refs, 1) != 1)
        return;
    X509_free(cert->leaf);
    sk_X509_pop_free(cert->chain, X509_free);
    EVP_PKEY_free(cert->key);
    free(cert->staple);
    free(cert);
}

struct sl_cert *sl_cert_get(int32_t cert) { return cert > 0 && cert < SL_CERTS_MAX ? certs[cert] : NULL; }

/* No password is ever asked for on a terminal. */
static int no_password(char *buffer, int size, int writing, void *data)
{
    (void)buffer, (void)size, (void)writing, (void)data;
    return -1;
}

/* The first private key in a PEM text, or NULL. As PEM_read_bio_PrivateKey(3) does it, which looks for all decoders
 * that there are again for each key: with these kept, ten thousand keys take one second and not ten. */
static EVP_PKEY *read_key(BIO *in)
{
    static OSSL_DECODER_CTX *decoder; /* the control plane's alone */
    static EVP_PKEY *key;
    if (decoder == NULL) {
        decoder = OSSL_DECODER_CTX_new_for_pkey(&key, "PEM", NULL, NULL, EVP_PKEY_KEYPAIR, NULL, NULL);
        if (decoder == NULL || OSSL_DECODER_CTX_set_pem_password_cb(decoder, no_password, NULL) != 1)
            return NULL;
    }
    key = NULL;
    /* A certificate may stand before it, or the parameters of its curve. */
    for (int before = 0, at; OSSL_DECODER_from_bio(decoder, in) != 1 || key == NULL; before = at)
        if (BIO_eof(in) || (at = (int)BIO_tell(in)) <= before)
            return NULL;
    return key;
}

/* Reads a chain, the leaf first, and its key, both PEM. Returns the certificate's number (> 0), or
 * -EINVAL: no certificate, or one that is broken; -ENOKEY: no key, or an encrypted one; -EKEYREJECTED: the
 * key is not the certificate's; -ENOSPC, -ENOMEM. OpenSSL's words are sl_tls_error's. */
int32_t sl_cert_open(const uint8_t *chain, int32_t chain_bytes, const uint8_t *key, int32_t key_bytes)
{
    CHECK(chain_bytes >= 0 && key_bytes >= 0);
    ERR_clear_error();
    int32_t number = certs_free, error = -EINVAL;
    while (number < SL_CERTS_MAX && certs[number] != NULL)
        number++;
    if (number == SL_CERTS_MAX)
        return -ENOSPC;
    struct sl_cert *cert = calloc(1, sizeof *cert);
    BIO *in = BIO_new_mem_buf(chain, chain_bytes), *key_in = BIO_new_mem_buf(key, key_bytes);
    if (cert == NULL || in == NULL || key_in == NULL || (cert->chain = sk_X509_new_null()) == NULL) {
        error = -ENOMEM;
        goto failed;
    }
    atomic_store(&cert->refs, 1);
    cert->leaf = PEM_read_bio_X509_AUX(in, NULL, no_password, NULL);
    if (cert->leaf == NULL)
        goto failed;
    for (X509 *next; (next = PEM_read_bio_X509(in, NULL, no_password, NULL)) != NULL;)
        if (!sk_X509_push(cert->chain, next)) {
            X509_free(next);
            error = -ENOMEM;
            goto failed;
        }
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        goto failed;
    ERR_clear_error();
    error = -ENOKEY;
    cert->key = read_key(key_in);
    if (cert->key == NULL)
        goto failed;
    error = -EKEYREJECTED;
    if (X509_check_private_key(cert->leaf, cert->key) != 1)
        goto failed;
    BIO_free(in), BIO_free(key_in);
    pthread_rwlock_wrlock(&lock);
    certs[number] = cert;
    pthread_rwlock_unlock(&lock);
    certs_free = number + 1;
    return number;
failed:
    BIO_free(in), BIO_free(key_in);
    if (cert != NULL) {
        atomic_store(&cert->refs, 1);
        sl_cert_release(cert);
    }
    return error;
}

/* Gives a number back. Names that have the certificate, and connections that are being shown it, keep it. */
int32_t sl_cert_close(int32_t cert)
{
    CHECK(sl_cert_get(cert) != NULL);
    struct sl_cert *gone = certs[cert];
    pthread_rwlock_wrlock(&lock);
    certs[cert] = NULL;
    pthread_rwlock_unlock(&lock);
    certs_free = cert < certs_free ? cert : certs_free;
    sl_cert_release(gone);
    return 0;
}

/* Gives a certificate the OCSP response that is shown with it (RFC 6066 section 8), DER; none of 0 bytes. */
int32_t sl_cert_staple(int32_t cert, const uint8_t *der, int32_t bytes)
{
    CHECK(sl_cert_get(cert) != NULL && bytes >= 0);
    uint8_t *copy = bytes == 0 ? NULL : malloc((size_t)bytes);
    if (bytes > 0 && copy == NULL)
        return -ENOMEM;
    if (bytes > 0)
        memcpy(copy, der, (size_t)bytes);
    pthread_rwlock_wrlock(&lock);
    uint8_t *before = certs[cert]->staple;
    certs[cert]->staple = copy, certs[cert]->staple_bytes = bytes;
    pthread_rwlock_unlock(&lock);
    free(before);
    return 0;
}

/* A copy of a certificate's OCSP response, which OpenSSL will free. Returns its length; 0: there is none. */
int32_t sl_cert_staple_copy(struct sl_cert *cert, uint8_t **copy)
{
    pthread_rwlock_rdlock(&lock);
    int32_t bytes = cert->staple_bytes;
    *copy = bytes > 0 ? OPENSSL_memdup(cert->staple, (size_t)bytes) : NULL;
    pthread_rwlock_unlock(&lock);
    return *copy == NULL ? 0 : bytes;
}

/* Begins a new table of names for a profile. */
int32_t sl_names_begin(int32_t profile)
{
    CHECK(sl_profile_get(profile) != NULL);
    names_free(growing);
    growing = names_new(16);
    growing_for = profile;
    return growing == NULL ? -ENOMEM : 0;
}

/* Adds a certificate for a name: exact, "*." and the labels after the first, or "" for whoever names none or
 * an unknown one. Of one kind of key the first is taken. Certificate 0: an exact name is known and has none yet, and
 * is shown nobody else's. */
int32_t sl_names_add(const uint8_t *name, int32_t bytes, int32_t cert)
{
    CHECK(growing != NULL && bytes >= 0 && bytes <= NAME_BYTES_MAX);
    CHECK(cert == 0 ? bytes > 0 : sl_cert_get(cert) != NULL);
    char given[NAME_BYTES_MAX + 1], key[NAME_BYTES_MAX + 1];
    memcpy(given, name, (size_t)bytes);
    given[bytes] = '\0';
    lower(given, key);
    return names_put(growing, key, cert == 0 ? NULL : certs[cert]);
}

/* Gives an exact name this certificate and no other, from the next handshake on; 0: none yet. */
int32_t sl_names_set(int32_t profile, const uint8_t *name, int32_t bytes, int32_t cert)
{
    struct sl_profile *p = sl_profile_get(profile);
    CHECK(p != NULL && bytes > 0 && bytes <= NAME_BYTES_MAX && (cert == 0 || sl_cert_get(cert) != NULL));
    char given[NAME_BYTES_MAX + 1], key[NAME_BYTES_MAX + 1];
    memcpy(given, name, (size_t)bytes);
    given[bytes] = '\0';
    lower(given, key);
    struct sl_cert *before[CERTS_OF_NAME_MAX] = { NULL };
    pthread_rwlock_wrlock(&lock);
    int32_t put = p->names == NULL ? -ENOENT : names_put(p->names, key, NULL);
    if (put == 0) {
        struct sl_name *row = row_of(p->names, key);
        memcpy(before, row->certs, sizeof before);
        memset(row->certs, 0, sizeof row->certs);
        if (cert != 0)
            add_cert(row->certs, certs[cert]);
    }
    pthread_rwlock_unlock(&lock);
    for (int i = 0; i < CERTS_OF_NAME_MAX; i++)
        sl_cert_release(before[i]);
    return put;
}

/* From here on handshakes go by the new table. */
int32_t sl_names_commit(void)
{
    CHECK(growing != NULL && sl_profile_get(growing_for) != NULL);
    struct sl_profile *profile = sl_profile_get(growing_for);
    pthread_rwlock_wrlock(&lock);
    struct sl_names *before = profile->names;
    /* Contexts have the fallback's certificates in them. */
    if (before == NULL || memcmp(before->fallback, growing->fallback, sizeof growing->fallback) != 0)
        sl_profile_changed(profile);
    profile->names = growing;
    pthread_rwlock_unlock(&lock);
    growing = NULL;
    names_free(before);
    return 0;
}

/* The names of a profile that nobody works by any more. */
void sl_names_drop(struct sl_profile *profile)
{
    names_free(profile->names);
    profile->names = NULL;
}

/* Shows a certificate to whoever asks for a TLS-ALPN-01 challenge of a name (RFC 8737); cert 0: no more. */
int32_t sl_challenge(const uint8_t *name, int32_t bytes, int32_t cert)
{
    CHECK(bytes > 0 && bytes <= NAME_BYTES_MAX && (cert == 0 || sl_cert_get(cert) != NULL));
    char given[NAME_BYTES_MAX + 1], key[NAME_BYTES_MAX + 1];
    memcpy(given, name, (size_t)bytes);
    given[bytes] = '\0';
    lower(given, key);
    /* A new table of what is left: there are never many. */
    struct sl_names *now = names_new(16);
    int32_t result = now == NULL ? -ENOMEM : 0;
    for (uint32_t row = 0; result == 0 && challenges != NULL && row < challenges->size; row++)
        if (challenges->rows[row].name != NULL && strcmp(challenges->rows[row].name, key) != 0)
            result = names_put(now, challenges->rows[row].name, challenges->rows[row].certs[0]);
    if (result == 0 && cert != 0)
        result = names_put(now, key, certs[cert]);
    if (result != 0) {
        names_free(now);
        return result;
    }
    pthread_rwlock_wrlock(&lock);
    struct sl_names *before = challenges;
    challenges = now;
    atomic_store(&challenge_count, (int32_t)now->count);
    pthread_rwlock_unlock(&lock);
    names_free(before);
    return 0;
}

/* Sets the keys of session tickets, each of TICKET_KEY_BYTES: a name of 16, 32 for HMAC-SHA256, 32 for AES-256
 * (as nginx orders them). The first encrypts, all decrypt. */
int32_t sl_ticket_keys(const uint8_t *keys, int32_t count)
{
    CHECK(count > 0 && count <= TICKET_KEYS_MAX);
    pthread_rwlock_wrlock(&lock);
    memcpy(ticket_keys, keys, (size_t)count * TICKET_KEY_BYTES);
    ticket_key_count = count;
    pthread_rwlock_unlock(&lock);
    return 0;
}

/* Copies the key that encrypts. 0 when there is none. */
int32_t sl_ticket_key_first(uint8_t *key)
{
    pthread_rwlock_rdlock(&lock);
    int32_t there = ticket_key_count > 0;
    if (there)
        memcpy(key, ticket_keys[0], TICKET_KEY_BYTES);
    pthread_rwlock_unlock(&lock);
    return there;
}

/* Copies the key of a name. Returns 0: unknown, 1: it is the first, 2: an older one. */
int32_t sl_ticket_key_named(const uint8_t *name, uint8_t *key)
{
    int32_t found = 0;
    pthread_rwlock_rdlock(&lock);
    for (int32_t i = 0; i < ticket_key_count && found == 0; i++)
        if (memcmp(ticket_keys[i], name, 16) == 0) {
            memcpy(key, ticket_keys[i], TICKET_KEY_BYTES);
            found = i == 0 ? 1 : 2;
        }
    pthread_rwlock_unlock(&lock);
    return found;
}

/* Writes what OpenSSL said last to this thread at <off>, at most <bytes>; returns the length. */
int32_t sl_tls_error(uint32_t off, int32_t bytes)
{
    CHECK_ARENA(off, bytes);
    CHECK(bytes > 0);
    unsigned long error = ERR_peek_last_error();
    char text[256];
    ERR_error_string_n(error, text, sizeof text);
    const char *reason = ERR_reason_error_string(error);
    if (reason != NULL)
        strncpy(text, reason, sizeof text - 1);
    ERR_clear_error();
    int32_t length = (int32_t)strnlen(text, sizeof text);
    length = length < bytes ? length : bytes;
    memcpy(me->arena + off, text, (size_t)length);
    return error == 0 ? 0 : length;
}
