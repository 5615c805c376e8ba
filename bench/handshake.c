/* Connect, shake hands, perhaps ask once, say goodbye; again and again, a fixed number at a time.
 *
 * The client ends its side (close_notify, FIN) and then reads until the server has ended its own, so
 * a handshake counts only once the server has finished it too, and its tickets have been read. With
 * --resume 1 every connection offers the newest session; the first one, alone, fetches it.
 * Stops opening at --seconds or --count, whichever comes first, and gives the open ones some time. */
#include "tls.h"

#define CONNECTIONS_MAX 4096
#define EVENTS_MAX 256
#define FAILURES_MAX 100
#define LAST_ONES_S 5
#define READ_BYTES 16384

enum stage { STAGE_FREE, STAGE_CONNECTING, STAGE_SHAKING, STAGE_ASKED, STAGE_CLOSING };

struct client {
    enum stage stage;
    struct stream stream;
    struct answer answer;
};

static const char REQUEST[] = "GET / HTTP/1.1\r\nHost: " TLS_SERVER_NAME "\r\n\r\n";

static struct client clients[CONNECTIONS_MAX];
static uint64_t port, connections = 64, count_max = UINT32_MAX, sources = 32, seconds = 5, version = 13;
static uint64_t resume, request;
static uint64_t started, open_now, done, resumed, tickets, failed;
static int poll_fd, first_errno;
static SSL_CTX *context;
static SSL_SESSION *newest; /* what the next connection offers, with --resume 1 */

/* OpenSSL's callback: the server has sent a ticket. 1: <session> is ours now. */
static int take_session(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    tickets++;
    if (resume == 0 || !SSL_SESSION_is_resumable(session))
        return 0;
    SSL_SESSION_free(newest);
    newest = session;
    return 1;
}

static void count_failure(int reason)
{
    failed++;
    if (first_errno == 0)
        first_errno = reason;
    if (failed > FAILURES_MAX)
        die("giving up after %d failures, the first: %s", FAILURES_MAX, strerror(first_errno));
}

/* Opens what may be open now. */
static void open_more(void)
{
    uint64_t slots = resume == 1 && newest == NULL ? 1 : connections;
    for (uint64_t slot = 0; slot < slots && open_now < slots && started < count_max; slot++) {
        struct client *client = &clients[slot];
        if (client->stage != STAGE_FREE)
            continue;
        int fd = start_connect((uint16_t)port, (uint32_t)(2 + started % sources));
        started++;
        if (fd < 0) {
            count_failure(-fd);
            continue;
        }
        open_now++;
        *client = (struct client){ .stage = STAGE_CONNECTING, .stream = { .fd = fd } };
        watch(poll_fd, EPOLL_CTL_ADD, fd, EPOLLOUT, slot);
    }
}

/* Ends the connection with <reason> (0 = as it should be). */
static void finish(struct client *client, int reason)
{
    if (reason == 0) {
        done++;
        resumed += (uint64_t)SSL_session_reused(client->stream.ssl);
    }
    stream_close(&client->stream);
    client->stage = STAGE_FREE;
    open_now--;
    if (reason != 0)
        count_failure(reason);
    if (resume == 1 && newest == NULL)
        die("no ticket came with the first handshake");
}

static void say_goodbye(struct client *client)
{
    SSL_shutdown(client->stream.ssl);
    shutdown(client->stream.fd, SHUT_WR);
    client->stage = STAGE_CLOSING;
}

/* The handshake is over on this side. */
static void shaken(struct client *client)
{
    if (request == 0)
        return say_goodbye(client);
    if (stream_send(&client->stream, REQUEST, sizeof REQUEST - 1) != sizeof REQUEST - 1)
        return finish(client, errno);
    client->stage = STAGE_ASKED;
}

/* Reads until there is no more: the answer, or the server's end. */
static void read_more(struct client *client)
{
    static char bytes[READ_BYTES];
    for (;;) {
        ssize_t count = stream_recv(&client->stream, bytes, sizeof bytes);
        if (count == -1 && (errno == EAGAIN || errno == EINTR))
            return;
        if (count == -1)
            return finish(client, errno);
        if (count == 0)
            return finish(client, client->stage == STAGE_CLOSING ? 0 : EPIPE);
        if (client->stage == STAGE_ASKED && answer_take(&client->answer, bytes, (size_t)count))
            say_goodbye(client);
    }
}

static void step(uint64_t slot)
{
    struct client *client = &clients[slot];
    if (client->stage == STAGE_CONNECTING) {
        int reason = connect_result(client->stream.fd);
        if (reason != 0)
            return finish(client, reason);
        /* A copy: OpenSSL's client holds a TLS 1.3 session for spent once a handshake has used it. */
        SSL_SESSION *offered = newest == NULL ? NULL : SSL_SESSION_dup(newest);
        tls_begin(&client->stream, context, offered);
        SSL_SESSION_free(offered);
        client->stage = STAGE_SHAKING;
        watch(poll_fd, EPOLL_CTL_MOD, client->stream.fd, EPOLLIN, slot);
    }
    if (client->stage == STAGE_SHAKING) {
        ssize_t result = tls_shake(&client->stream);
        if (result == 0)
            return finish(client, EPIPE);
        if (result == -1 && errno != EAGAIN)
            return finish(client, errno);
        if (result > 0)
            shaken(client); /* what follows has an event of its own */
        return;
    }
    read_more(client);
}

int main(int argc, char **argv)
{
    const struct flag flags[] = {
        { "--port", "port on 127.0.0.1 to connect to", &port, 1, 65535, NULL },
        { "--tls", "12 | 13: the version", &version, 12, 13, NULL },
        { "--resume", "1: every handshake but the first resumes a session", &resume, 0, 1, NULL },
        { "--request", "1: one GET is answered on each connection", &request, 0, 1, NULL },
        { "--connections", "open at the same time", &connections, 1, CONNECTIONS_MAX, NULL },
        { "--count", "connections to open in all, at most", &count_max, 1, UINT32_MAX, NULL },
        { "--sources", "source addresses, 127.0.0.2 and up", &sources, 1, 250, NULL },
        { "--seconds", "opens none after this time", &seconds, 1, 3600, NULL },
    };
    read_flags(argc, argv,
               "handshake: opens TLS connections as fast as it can, shakes hands and closes them.\n"
               "Prints one line: handshakes (done as they should) resumed (of these) tickets (received) failed\n"
               "unfinished seconds rate, and first_error when some failed. Exits 1 if any failed, was unfinished\n"
               "or none was done.",
               flags, sizeof flags / sizeof *flags);
    if (port == 0)
        die("--port is needed");
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes with write(2) */
    raise_nofile();
    context = tls_context(version);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, take_session);
    poll_fd = epoll_create1(EPOLL_CLOEXEC);

    uint64_t start_ns = now_ns(), stop_ns = start_ns + seconds * NS_PER_S, now = start_ns;
    uint64_t end_ns = stop_ns + LAST_ONES_S * NS_PER_S;
    struct epoll_event events[EVENTS_MAX];
    for (; now < end_ns; now = now_ns()) {
        if (now < stop_ns)
            open_more();
        if (open_now == 0)
            break;
        uint64_t until_ns = now < stop_ns ? stop_ns : end_ns;
        int count = epoll_wait(poll_fd, events, EVENTS_MAX, (int)((until_ns - now) / 1000000) + 1);
        for (int event = 0; event < count; event++)
            step(events[event].data.u64);
    }

    double took = (double)(now_ns() - start_ns) / 1e9;
    printf("handshakes=%llu resumed=%llu tickets=%llu failed=%llu unfinished=%llu seconds=%.3f rate=%.0f",
           (unsigned long long)done, (unsigned long long)resumed, (unsigned long long)tickets,
           (unsigned long long)failed, (unsigned long long)open_now, took, (double)done / took);
    if (failed > 0)
        printf(" first_error=%s", strerrorname_np(first_errno));
    printf("\n");
    return done > 0 && failed == 0 && open_now == 0 ? 0 : 1;
}
