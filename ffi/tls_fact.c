/* tls_fact.c: what can be told of a session, as text: for headers, the access log, explain. */
#include "tls.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FACT_NAME, FACT_VERSION, FACT_CIPHER, FACT_PROTOCOL, FACT_SUBJECT, FACT_ISSUER, FACT_SERIAL, FACT_FINGERPRINT,
       FACT_CERTIFICATE, FACT_RESUMED, FACT_COMMON_NAME, FACT_COUNT };

static int32_t put(uint8_t *at, int32_t most, const void *from, size_t bytes)
{
    int32_t length = bytes < (size_t)most ? (int32_t)bytes : most;
    memcpy(at, from, (size_t)length);
    return length;
}

static int32_t put_text(uint8_t *at, int32_t most, const char *text)
{
    return text == NULL ? 0 : put(at, most, text, strlen(text));
}

/* A distinguished name as RFC 2253 writes it. */
static int32_t put_name(uint8_t *at, int32_t most, const X509_NAME *name)
{
    BIO *out = BIO_new(BIO_s_mem());
    char *text;
    int32_t length = 0;
    if (out != NULL && X509_NAME_print_ex(out, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) >= 0) {
        long bytes = BIO_get_mem_data(out, &text);
        length = put(at, most, text, bytes > 0 ? (size_t)bytes : 0);
    }
    BIO_free(out);
    return length;
}

/* The last one, in UTF-8. */
static int32_t put_common_name(uint8_t *at, int32_t most, const X509_NAME *name)
{
    int last = -1;
    for (int next; (next = X509_NAME_get_index_by_NID(name, NID_commonName, last)) >= 0;)
        last = next;
    unsigned char *text = NULL;
    int bytes = last < 0 ? 0 : ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, last)));
    int32_t length = bytes > 0 ? put(at, most, text, (size_t)bytes) : 0;
    OPENSSL_free(text);
    return length;
}

static int32_t put_serial(uint8_t *at, int32_t most, X509 *certificate)
{
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), NULL);
    char *hex = number == NULL ? NULL : BN_bn2hex(number);
    int32_t length = put_text(at, most, hex);
    OPENSSL_free(hex);
    BN_free(number);
    return length;
}

/* SHA-256, in lower-case hexadecimal. */
static int32_t put_fingerprint(uint8_t *at, int32_t most, X509 *certificate)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    char hex[2 * EVP_MAX_MD_SIZE + 1];
    unsigned int bytes = 0;
    if (X509_digest(certificate, EVP_sha256(), digest, &bytes) != 1)
        return 0;
    for (unsigned int i = 0; i < bytes; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    return put_text(at, most, hex);
}

/* The certificate as RFC 9440 writes it: base64 between colons. 0 when there is no room for all of it. */
static int32_t put_certificate(uint8_t *at, int32_t most, X509 *certificate)
{
    uint8_t *der = NULL;
    int bytes = i2d_X509(certificate, &der);
    int32_t length = 0;
    if (bytes > 0 && 4 * ((bytes + 2) / 3) + 3 <= most) {
        at[0] = ':';
        length = 1 + EVP_EncodeBlock(at + 1, der, bytes);
        at[length++] = ':';
    }
    OPENSSL_free(der);
    return length;
}

/* Keeps the name at <off> that the client of a slot without a session has asked for: its TLS is passed on as it is. */
int32_t sl_tls_named(int32_t slot, uint32_t off, int32_t bytes)
{
    CHECK_SLOT(slot);
    CHECK_ARENA(off, bytes);
    CHECK(bytes > 0 && me->slots[slot] != 0 && !(me->slots[slot] & (SLOT_TLS | SLOT_NAMED)));
    char *name = strndup((const char *)me->arena + off, (size_t)bytes);
    if (name == NULL)
        return -ENOMEM;
    me->names[slot] = name;
    me->slots[slot] |= SLOT_NAMED;
    return 0;
}

void sl_name_forget(struct sl_room *room, int32_t slot)
{
    free(room->names[slot]);
    room->slots[slot] &= ~SLOT_NAMED;
}

/* Writes a fact about the slot's session at <off>, at most <bytes>: 0 the name that was asked for (SNI), 1 the
 * version (TLSv1.3), 2 the cipher, 3 the protocol that was agreed on (ALPN); of the peer's certificate, if it
 * gave one that holds: 4 subject and 5 issuer (RFC 2253), 6 serial number, 7 SHA-256 fingerprint (hexadecimal),
 * 8 the certificate (RFC 9440); 9 "r" if the session was resumed, 10 the
 * common name of the subject (UTF-8). Returns the length; 0: there is none, or
 * the slot has no session; then only a name may be known (sl_tls_named). */
int32_t sl_tls_fact(int32_t slot, int32_t which, uint32_t off, int32_t bytes)
{
    CHECK_SLOT(slot);
    CHECK_ARENA(off, bytes);
    CHECK(which >= 0 && which < FACT_COUNT && bytes > 0 && me->slots[slot] != 0);
    uint8_t *at = me->arena + off;
    if (me->slots[slot] & SLOT_NAMED)
        return which == FACT_NAME ? put_text(at, bytes, me->names[slot]) : 0;
    if (!(me->slots[slot] & SLOT_TLS))
        return 0;
    struct sl_tls *tls = me->tls[slot];
    const unsigned char *alpn;
    unsigned int alpn_bytes;
    switch (which) {
    case FACT_NAME:
        return put_text(at, bytes, SSL_get_servername(tls->ssl, TLSEXT_NAMETYPE_host_name));
    case FACT_VERSION:
        return tls->open ? put_text(at, bytes, SSL_get_version(tls->ssl)) : 0;
    case FACT_CIPHER:
        return tls->open ? put_text(at, bytes, SSL_get_cipher_name(tls->ssl)) : 0;
    case FACT_PROTOCOL:
        SSL_get0_alpn_selected(tls->ssl, &alpn, &alpn_bytes);
        return alpn == NULL ? 0 : put(at, bytes, alpn, alpn_bytes);
    case FACT_RESUMED:
        return tls->open && SSL_session_reused(tls->ssl) ? put_text(at, bytes, "r") : 0;
    }
    X509 *peer = tls->open && SSL_get_verify_result(tls->ssl) == X509_V_OK ? SSL_get0_peer_certificate(tls->ssl) : NULL;
    if (peer == NULL)
        return 0;
    int32_t length = which == FACT_SUBJECT       ? put_name(at, bytes, X509_get_subject_name(peer))
                     : which == FACT_ISSUER      ? put_name(at, bytes, X509_get_issuer_name(peer))
                     : which == FACT_SERIAL      ? put_serial(at, bytes, peer)
                     : which == FACT_FINGERPRINT ? put_fingerprint(at, bytes, peer)
                     : which == FACT_COMMON_NAME ? put_common_name(at, bytes, X509_get_subject_name(peer))
                                                 : put_certificate(at, bytes, peer);
    ERR_clear_error();
    return length;
}

/* Whether a request for the host at <off> belongs on the slot's connection (RFC 9110 section 15.5.20): 1 when
 * it is the name that was asked for, none was, or the certificate of that name is good for the host as well; or
 * when there is none here for the host: a proxy before us asks by the name that it has for us, and no other
 * connection would do better. */
int32_t sl_tls_covers(int32_t slot, uint32_t off, int32_t bytes)
{
    CHECK_SLOT(slot);
    CHECK_ARENA(off, bytes);
    CHECK(me->slots[slot] & SLOT_TLS);
    struct sl_tls *tls = me->tls[slot];
    const char *name = SSL_get_servername(tls->ssl, TLSEXT_NAMETYPE_host_name);
    const char *host = (const char *)me->arena + off;
    if (name == NULL || (strlen(name) == (size_t)bytes && strncasecmp(name, host, (size_t)bytes) == 0))
        return 1;
    struct sl_profile *profile = sl_profile_get(tls->profile);
    struct sl_cert *found[CERTS_OF_NAME_MAX];
    char text[NAME_BYTES_MAX + 1];
    snprintf(text, sizeof text, "%.*s", bytes, host);
    int32_t count = sl_names_find(profile, name, found), covers = !sl_names_has(profile, text);
    for (int32_t i = 0; i < count; i++) {
        covers = covers || X509_check_host(found[i]->leaf, host, (size_t)bytes, 0, NULL) == 1;
        sl_cert_release(found[i]);
    }
    ERR_clear_error();
    return covers;
}
