/* tls.h: what the TLS files share. OpenSSL stays below this line: above it a slot is a slot.
 *
 *   tls_store.c    what the control plane gives: certificates, who has which name, ticket keys
 *   tls_profile.c  the settings of a listener or an upstream
 *   tls_context.c  what a reactor makes of a profile: an SSL_CTX of its own, and its callbacks
 *   tls.c          the session of a slot: handshake, bytes, the end
 *   tls_bio.c      the socket beneath a session
 *   tls_fact.c     what can be told of a session
 *
 * Store and profiles are the process's and have a lock each; reactors read them during handshakes only. */
#ifndef TLS_H
#define TLS_H

#include "room.h"

#include <openssl/ssl.h>

#define CERTS_OF_NAME_MAX 4 /* one of each kind of key */
#define TICKET_KEY_BYTES 80
#define TICKET_KEYS_MAX 16
#define PIN_BYTES 32
#define PINS_MAX 64
#define ALPN_BYTES_MAX 4096 /* 16 names */
#define NAME_BYTES_MAX 255

/* One certificate with its chain and key. Freed when the last connection that was shown it is done. */
struct sl_cert {
    _Atomic int32_t refs;
    X509 *leaf;
    STACK_OF(X509) *chain;
    EVP_PKEY *key;
    uint8_t *staple; /* an OCSP response, DER; under the store's lock */
    int32_t staple_bytes;
};

/* What a room's context of a profile is made of. */
struct sl_ready {
    int32_t changes; /* of the profile, when it was made */
    struct sl_cert *certs[CERTS_OF_NAME_MAX];
};

/* Settings of one listener or one upstream. */
struct sl_profile {
    int32_t kind, policy, verify, flags;
    uint8_t alpn[ALPN_BYTES_MAX];
    int32_t alpn_bytes;
    uint8_t pins[PINS_MAX][PIN_BYTES];
    int32_t pin_count;
    struct sl_names *names;  /* under the store's lock */
    _Atomic int32_t changes; /* raised when that changes which is in contexts: the rest, and the names' fallback */
    _Atomic int32_t sessions; /* that are of it, in all rooms */
    X509_STORE *trust;       /* this and the rest under the profiles' lock */
    STACK_OF(X509_NAME) *authorities; /* whom client certificates should be of */
    struct sl_cert *own;              /* what we show to servers */
    uint8_t session_context[32]; /* a session is resumed only where the same is asked of clients */
};

/* How a session came to its end before it was one: what sl_tls_fault tells. */
enum sl_fault {
    FAULT_NONE, FAULT_PLAIN_HTTP, FAULT_NOT_TLS, FAULT_VERSION, FAULT_CIPHER, FAULT_ALERT, FAULT_NO_CERT_GIVEN,
    FAULT_EXPIRED, FAULT_NOT_YET_VALID, FAULT_AUTHORITY, FAULT_NAME, FAULT_REVOKED, FAULT_CERTIFICATE,
    FAULT_PIN, FAULT_ALPN, FAULT_NO_CERT_FOR_NAME, FAULT_PROTOCOL, FAULT_GONE
};

/* The session of a slot. */
struct sl_tls {
    SSL *ssl;
    struct sl_cert *shown[CERTS_OF_NAME_MAX]; /* while the handshake lasts */
    double sent_ms;    /* when something was sent last */
    uint32_t burst;    /* bytes sent since it was silent: how large its records may be */
    int32_t retry;     /* length of the write that OpenSSL must see again; 0: none */
    int32_t error;     /* errno of the socket, told once */
    int32_t fault;     /* sl_fault, the alert or verify code in the bits above 8 */
    int32_t server;    /* whose session is to be kept; 0: a client's */
    uint64_t name;     /* whom its certificate must be for, as a hash */
    int32_t unsent;    /* errno of a send: nothing more is taken. What came can still be read */
    int16_t profile;
    uint8_t open;      /* the handshake is done */
    uint8_t dry;       /* the socket had no more when it was read last; the next event ends that */
    uint8_t fin;       /* the end of stream or an error is announced: only a read tells */
    uint8_t eof;       /* the socket's end of stream was read */
    uint8_t ended;     /* the peer's end, however it came */
    uint8_t broken;    /* nothing can be sent or read any more */
    uint8_t heard;     /* something was read */
    uint8_t hello;     /* a ClientHello was understood */
    uint8_t refused;   /* nobody has a certificate for its name, nor will have */
    uint8_t challenge; /* it asks for a TLS-ALPN-01 challenge's certificate */
    uint8_t wants_out; /* a read waits until something can be written */
    uint8_t kernel;    /* the kernel does the records (kTLS) */
    uint8_t more;      /* what is being sent is not the last: MSG_MORE */
};

/* tls_profile.c */
struct sl_profile *sl_profile_get(int32_t profile);
int32_t sl_profile_apply(struct sl_profile *profile, SSL_CTX *context);
void sl_profile_changed(struct sl_profile *profile);
/* tls_store.c */
uint64_t sl_name_hash(const char *name);
int32_t sl_names_has(struct sl_profile *profile, const char *name);
void sl_names_drop(struct sl_profile *profile);
int32_t sl_names_find(struct sl_profile *profile, const char *name, struct sl_cert **found);
int32_t sl_challenge_find(const char *name, struct sl_cert **found);
int32_t sl_challenges(void);
void sl_cert_release(struct sl_cert *cert);
int32_t sl_cert_staple_copy(struct sl_cert *cert, uint8_t **copy);
int32_t sl_ticket_key_first(uint8_t *key);
int32_t sl_ticket_key_named(const uint8_t *name, uint8_t *key);
struct sl_cert *sl_cert_get(int32_t cert);
/* tls_context.c */
SSL_CTX *sl_context(int32_t profile);
void sl_contexts_free(struct sl_room *room);
SSL_SESSION *sl_session_of(int32_t server, int32_t profile, uint64_t name);
int32_t sl_ktls(void);
/* tls_bio.c */
extern _Thread_local struct sl_tls *sl_tls_current;
BIO *sl_tls_bio(int32_t slot);
struct sl_tls *sl_tls_of(int32_t slot);
void sl_tls_data(void);
int sl_tls_eof(struct sl_tls *tls);
void sl_tls_note(struct sl_tls *tls, int failed);
/* tls.c */
int32_t sl_tls_recv(int32_t slot, uint8_t *at, int32_t len, int32_t peek);
int32_t sl_tls_send(int32_t slot, const uint8_t *at, int32_t len, int32_t more);
int32_t sl_tls_shutdown(int32_t slot);
void sl_tls_end(struct sl_room *room, int32_t slot, int32_t reset);
void sl_name_forget(struct sl_room *room, int32_t slot);
int32_t sl_tls_splices(int32_t slot);
int32_t sl_tls_splice_in(int32_t slot, int32_t to, int32_t len);
/* pipe.c */
int32_t sl_splice_fd(int32_t from, int32_t to, int32_t len);
uint32_t sl_tls_event(int32_t slot, uint32_t bits);

#endif
