/* sluice.h: the ABI between Sluice's TypeScript and the kernel.
 *
 * Every function takes integers and returns >= 0, or -errno. What is longer than an integer lies in
 * the caller's arena, memory that C made once and TypeScript views without a copy: offsets into it
 * cross, pointers and structs do not (but for the log Worker, see log.c). C never calls TypeScript, never aborts on an argument (it
 * returns -EBUG), retries EINTR itself, and keeps no state that TypeScript keeps too.
 *
 * Threads: a thread enters one room of the process-wide table below and is its only user until it
 * leaves. Room 0 is the control plane's (an arena, no slots); the others are reactors'. A room
 * outlives its thread: when a Worker dies, the control plane reaps the room by index and a
 * replacement enters it, epoll set and waiting newcomers included.
 *
 * Addresses cross as records of SL_ADDRESS_BYTES: [0] family (4, 6, 1 = unix, 0 = unknown),
 * [1] length of a unix path, [2..3] port in network order, [4..19] IP (IPv4 in the first four),
 * [20..23] IPv6 scope id (little endian); a unix path has its bytes from [4] on.
 */
#ifndef SLUICE_H
#define SLUICE_H

#include <stdint.h>

#define SL_ABI 7            /* raised with every change of a function's meaning */
#define SL_EBUG 4095        /* "your call broke its contract": above every errno of Linux */
#define SL_ROOMS_MAX 80     /* control plane, 64 reactors, health, helpers */
#define SL_LISTENERS_MAX 4096
#define SL_PATTERNS_MAX 4096
#define SL_PROFILES_MAX 8192 /* TLS settings of listeners and upstreams */
#define SL_SOCKETS_MAX 32768 /* settings of the sockets of listeners and upstreams */
#define SL_CERTS_MAX 65536
#define SL_SERVERS_MAX 131072
#define SL_ADDRESS_BYTES 112
#define SL_PEER_BYTES 24    /* an address record without its unix path */
#define SL_EVENT_INTS 3     /* what, who, bits: see sl_poll */
#define SL_DATAGRAMS_MAX 32 /* of a batch: see udp.c */
#define SL_DATAGRAM_INTS 16
/* Of a buffer: any datagram, and so much more that their beginnings do not share lines of a cache. */
#define SL_DATAGRAM_BYTES 65856

#define SL_API __attribute__((visibility("default")))

/* What an event is about, when it is not a slot (a slot's number is > 0). */
enum { SL_WOKEN = 0, SL_NEWCOMER = -1, SL_LISTENER = -2, SL_DATAGRAMS = -3 };

/* Readiness bits of an event, and of net/ready.ts. */
/* SL_PIECES: bytes come in pieces that one read does not join (urgent data, unix sockets, TLS records), so a read that did not fill its buffer does not prove the socket empty. */
enum { SL_IN = 1, SL_OUT = 2, SL_FIN = 4, SL_ERR = 8, SL_PIECES = 16 };

/* ---- process ---- */
SL_API int32_t sl_abi(void);
SL_API int32_t sl_record_bytes(int32_t which);
SL_API int32_t sl_setup(void);
SL_API int32_t sl_machine(int32_t which);
SL_API int32_t sl_run_soon(void);

/* ---- rooms (room.c; poll.c) ---- */
SL_API int32_t sl_room_open(int32_t room, int32_t slots, int32_t pipes, uint32_t arena_bytes);
SL_API int32_t sl_room_close(int32_t room);
SL_API void *sl_arena(int32_t room);
SL_API int32_t sl_enter(int32_t room);
SL_API int32_t sl_leave(void);
SL_API int32_t sl_reap(int32_t room);
SL_API int32_t sl_wake(int32_t room);
SL_API int32_t sl_peer_of(int32_t room, int32_t slot, uint32_t off);
SL_API int32_t sl_held(int32_t room, int32_t which);
SL_API int32_t sl_hear(int32_t slot, int32_t on);
SL_API int32_t sl_poll(uint32_t off, int32_t max, int32_t timeout_ms);

/* ---- listening sockets and newcomers (accept.c) ---- */
SL_API int32_t sl_listen(int32_t listener, uint32_t address_off, int32_t flags, int32_t backlog, int32_t socket);
SL_API int32_t sl_listener_address(int32_t listener, uint32_t off);
SL_API int32_t sl_listener_queue(int32_t listener, int32_t which);
SL_API int32_t sl_listener_stop(int32_t listener);
SL_API int32_t sl_listener_path(int32_t listener, int32_t ours);
SL_API int32_t sl_listener_close(int32_t listener);
SL_API int32_t sl_watch(int32_t listener, int32_t on);
SL_API int32_t sl_accept(int32_t listener);
SL_API int32_t sl_caller(int32_t token, uint32_t off);
SL_API int32_t sl_charge(int32_t token, int32_t source);
SL_API int32_t sl_charged(int32_t token);
SL_API int32_t sl_hand(int32_t token, int32_t room);
SL_API int32_t sl_newcomer(int32_t token);
SL_API int32_t sl_adopt(int32_t token, int32_t slot, uint32_t gen);
SL_API int32_t sl_refuse(int32_t token, int32_t reset);

/* ---- listening sockets that were open before (inherited.c) ---- */
SL_API int32_t sl_inherited(int32_t fd, uint32_t off);
SL_API int32_t sl_inherited_close(int32_t fd);
SL_API int32_t sl_listener_adopt(int32_t listener, int32_t fd);
SL_API int32_t sl_listener_tune(int32_t listener, int32_t backlog, int32_t socket);

/* ---- service managers (service.c) ---- */
SL_API int32_t sl_notify(const uint8_t *path, int32_t path_bytes, const uint8_t *text, int32_t bytes);
SL_API int32_t sl_become(uint32_t uid, uint32_t gid, const uint8_t *groups, int32_t count, uint32_t keep);
SL_API int32_t sl_may_open(const uint8_t *path, int32_t write, uint32_t uid, uint32_t gid, const uint8_t *groups,
                           int32_t count);

/* ---- sockets of slots (sock.c) ---- */
SL_API int32_t sl_connect(int32_t slot, uint32_t gen, uint32_t address_off, int32_t how);
SL_API int32_t sl_outcome(int32_t slot);
SL_API int32_t sl_recv(int32_t slot, uint32_t off, int32_t len);
SL_API int32_t sl_peek(int32_t slot, uint32_t off, int32_t len);
SL_API int32_t sl_skip(int32_t slot, uint32_t off, int32_t len);
SL_API int32_t sl_send(int32_t slot, uint32_t off, int32_t len, int32_t more);
SL_API int32_t sl_shutdown(int32_t slot);
SL_API int32_t sl_close(int32_t slot, int32_t reset);
SL_API int32_t sl_option(int32_t slot, int32_t option, int32_t value);
SL_API int32_t sl_client(int32_t slot, uint32_t off);
SL_API int32_t sl_introduce(int32_t slot, uint32_t off, int32_t bytes);
SL_API int32_t sl_introduction(int32_t slot, uint32_t off, int32_t bytes);
SL_API int32_t sl_introducer(int32_t slot, uint32_t off);
SL_API int32_t sl_sockname(int32_t slot, uint32_t off);
SL_API int32_t sl_peername(int32_t slot, uint32_t off);

/* ---- datagrams (udp.c) ---- */
SL_API int32_t sl_udp_listen(int32_t listener, uint32_t address_off, int32_t flags);
SL_API int32_t sl_udp_lost(int32_t listener);
SL_API int32_t sl_udp_connect(int32_t slot, uint32_t gen, uint32_t address_off, int32_t listener, uint32_t client_off,
                              int32_t how);
SL_API int32_t sl_udp_recv(int32_t listener, uint32_t off, int32_t max);
SL_API int32_t sl_udp_read(int32_t slot, uint32_t off, int32_t first, int32_t max);
SL_API int32_t sl_udp_preface(int32_t slot, uint32_t off, int32_t bytes);
SL_API int32_t sl_udp_send(int32_t slot, uint32_t off, int32_t first, int32_t count);
SL_API int32_t sl_udp_answer(int32_t listener, uint32_t off, int32_t first, int32_t count);

/* ---- upgrades (handover.c): pointers are to memory that TypeScript made ---- */
SL_API int32_t sl_handover_pair(uint8_t *fds);
SL_API int32_t sl_handover_take(int32_t fd);
SL_API int32_t sl_handover_send(int32_t fd, const uint8_t *message, int32_t bytes, const uint8_t *fds, int32_t count);
SL_API int32_t sl_handover_recv(int32_t fd, uint8_t *into, int32_t most, uint8_t *fds);
SL_API int32_t sl_handover_close(int32_t fd);
SL_API int32_t sl_memfd_make(const uint8_t *from, int32_t bytes);
SL_API int32_t sl_memfd_bytes(int32_t fd);
SL_API int32_t sl_memfd_read(int32_t fd, uint8_t *into, int32_t bytes, int32_t at);
SL_API int32_t sl_spawn(const uint8_t *words, int32_t bytes, const uint8_t *env, int32_t env_bytes, int32_t kept);
SL_API int32_t sl_spawned(int32_t pid);
SL_API int32_t sl_listener_fd(int32_t listener);
SL_API int32_t sl_slot_fd(int32_t room, int32_t slot);
SL_API int32_t sl_udp_adopt(int32_t slot, uint32_t gen, int32_t fd, int32_t listener, uint32_t client_off);
SL_API int32_t sl_udp_yield(int32_t slot);

/* ---- what sockets are made with (socket.c) ---- */
/* In <how> of sl_connect, behind the number of the settings: what is to be sent comes at once; the client's address
 * record lies behind the server's, for settings whose connections come from there. */
#define SL_HOW_SOCKET 0x7fff
#define SL_HOW_CLIENT (1 << 16)
#define SL_HOW_SPEAKS (1 << 17)
SL_API int32_t sl_socket_open(int32_t socket);
SL_API int32_t sl_socket_set(int32_t socket, int32_t option, int32_t value);
SL_API int32_t sl_socket_source(int32_t socket, uint32_t off);
SL_API int32_t sl_socket_device(int32_t socket, uint32_t off, int32_t bytes);
SL_API int32_t sl_socket_try(int32_t socket, int32_t family);
SL_API int32_t sl_socket_flaw(void);

/* ---- pipes and splice (pipe.c) ---- */
SL_API int32_t sl_pipe_open(int32_t pipe, int32_t bytes);
SL_API int32_t sl_pipe_close(int32_t pipe);
SL_API int32_t sl_pipe_write(int32_t pipe, uint32_t off, int32_t len);
SL_API int32_t sl_can_splice(int32_t slot);
SL_API int32_t sl_splice_in(int32_t slot, int32_t pipe, int32_t len);
SL_API int32_t sl_splice_out(int32_t pipe, int32_t slot, int32_t len, int32_t more);

/* ---- where the log goes (log.c): these alone take pointers, to memory that TypeScript made ---- */
SL_API int32_t sl_log_open(const uint8_t *path, int32_t as);
SL_API int32_t sl_log_kind(int32_t fd);
SL_API int32_t sl_log_ready(int32_t fd, int32_t timeout_ms);
SL_API int32_t sl_log_write(int32_t fd, const uint8_t *before, int32_t before_len, const uint8_t *ring,
                            uint32_t ring_bytes, uint32_t from, uint32_t len);
SL_API int32_t sl_log_send(int32_t fd, const uint8_t *before, int32_t before_len, const uint8_t *ring,
                           uint32_t ring_bytes, uint32_t from, uint32_t len);
SL_API int32_t sl_log_connect(const uint8_t *address, int32_t stream);
SL_API int32_t sl_log_outcome(int32_t fd);
SL_API int32_t sl_log_close(int32_t fd);

/* ---- TLS: what the control plane gives (tls_store.c; PEM and names are memory that TypeScript made) ---- */
#define SL_PROFILE_ASKS 1 /* a name without a certificate is asked for */
SL_API int32_t sl_cert_open(const uint8_t *chain, int32_t chain_bytes, const uint8_t *key, int32_t key_bytes);
SL_API int32_t sl_cert_close(int32_t cert);
SL_API int32_t sl_cert_staple(int32_t cert, const uint8_t *der, int32_t bytes);
SL_API int32_t sl_names_begin(int32_t profile);
SL_API int32_t sl_names_add(const uint8_t *name, int32_t bytes, int32_t cert);
SL_API int32_t sl_names_commit(void);
SL_API int32_t sl_names_set(int32_t profile, const uint8_t *name, int32_t bytes, int32_t cert);
SL_API int32_t sl_challenge(const uint8_t *name, int32_t bytes, int32_t cert);
SL_API int32_t sl_ticket_keys(const uint8_t *keys, int32_t count);
SL_API int32_t sl_profile_open(int32_t profile, int32_t kind, int32_t policy, int32_t verify, int32_t flags);
SL_API int32_t sl_profile_set(int32_t profile, int32_t what, const uint8_t *given, int32_t bytes);
SL_API int32_t sl_profile_own(int32_t profile, int32_t cert);
SL_API int32_t sl_profile_close(int32_t profile);
SL_API int32_t sl_tls_error(uint32_t off, int32_t bytes);

/* ---- TLS: sessions of slots (tls.c, tls_fact.c) ---- */
SL_API int32_t sl_tls_accept(int32_t slot, int32_t profile, uint32_t bits);
SL_API int32_t sl_tls_connect(int32_t slot, int32_t profile, uint32_t off, int32_t bytes, int32_t server, uint32_t bits);
SL_API int32_t sl_handshake(int32_t slot);
SL_API int32_t sl_tls_refuse(int32_t slot);
SL_API int32_t sl_tls_fault(int32_t slot);
SL_API int32_t sl_tls_drop(int32_t slot);
SL_API int32_t sl_truncated(int32_t slot);
SL_API int32_t sl_tls_named(int32_t slot, uint32_t off, int32_t bytes);
SL_API int32_t sl_tls_fact(int32_t slot, int32_t which, uint32_t off, int32_t bytes);
SL_API int32_t sl_tls_covers(int32_t slot, uint32_t off, int32_t bytes);

/* ---- regular expressions (pattern.c) ---- */
SL_API int32_t sl_pattern_compile(uint32_t off, int32_t len, uint32_t error_off);
SL_API int32_t sl_pattern_match(int32_t pattern, uint32_t off, int32_t len);
SL_API int32_t sl_pattern_free(int32_t pattern);

#endif
