/* Holds connections that have each exchanged one small message, over TLS if told so, and then say nothing.
 *
 * Told by stdin: a line with a number N means "go to N connections"; the answer is one line once all
 * of them are open and answered. The end of stdin ends the tool. */
#include "tls.h"

#define EVENTS_MAX 256
#define OPENING_MAX 64 /* at the same time: far below any accept queue */
#define FAILURES_MAX 100
#define READ_BYTES 65536
#define STDIN_DATA UINT64_MAX

enum stage { STAGE_FREE, STAGE_CONNECTING, STAGE_SHAKING, STAGE_ASKED, STAGE_HELD };

struct client {
    enum stage stage;
    struct stream stream;
    struct answer answer;
};

static const char REQUEST[] = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";

static struct client *clients; /* by fd */
static uint64_t client_limit, port, sources = 8, seconds = 3600, version;
static uint64_t target, held, opening, opened, failed, lost;
static bool answer_due; /* a number was read and not answered yet */
static int poll_fd;
static SSL_CTX *context; /* NULL: plain TCP */

static void drop(int fd)
{
    switch (clients[fd].stage) {
    case STAGE_HELD:
        held--;
        break;
    case STAGE_CONNECTING:
    case STAGE_SHAKING:
    case STAGE_ASKED:
        opening--;
        break;
    case STAGE_FREE:
        break;
    }
    clients[fd].stage = STAGE_FREE;
    stream_close(&clients[fd].stream);
}

static void count_failure(int reason)
{
    failed++;
    if (failed > FAILURES_MAX)
        die("giving up after %d failures, the last: %s", FAILURES_MAX, strerror(reason));
}

/* Opens or closes connections towards the target, and answers when it is reached. */
static void settle(void)
{
    for (int fd = (int)client_limit - 1; held > target && fd >= 0; fd--)
        if (clients[fd].stage == STAGE_HELD)
            drop(fd);
    while (held + opening < target && opening < OPENING_MAX) {
        int fd = start_connect((uint16_t)port, (uint32_t)(2 + opened++ % sources));
        if (fd < 0) {
            count_failure(-fd);
            continue;
        }
        clients[fd] = (struct client){ .stage = STAGE_CONNECTING, .stream = { .fd = fd } };
        opening++;
        watch(poll_fd, EPOLL_CTL_ADD, fd, EPOLLOUT, (uint64_t)fd);
    }
    if (answer_due && opening == 0 && held == target) {
        answer_due = false;
        printf("open=%llu failed=%llu lost=%llu\n", (unsigned long long)held, (unsigned long long)failed,
               (unsigned long long)lost);
        fflush(stdout);
    }
}

/* Ends a connection that was still being opened. */
static void fail(int fd, int reason)
{
    drop(fd);
    count_failure(reason);
}

static void ask(int fd)
{
    if (stream_send(&clients[fd].stream, REQUEST, sizeof REQUEST - 1) != sizeof REQUEST - 1)
        return fail(fd, errno);
    clients[fd].stage = STAGE_ASKED;
}

static void read_more(int fd)
{
    static char bytes[READ_BYTES];
    struct client *client = &clients[fd];
    do {
        ssize_t count = stream_recv(&client->stream, bytes, sizeof bytes);
        if (count == -1 && (errno == EAGAIN || errno == EINTR))
            return;
        if (count <= 0 && client->stage != STAGE_HELD)
            return fail(fd, count == 0 ? EPIPE : errno);
        if (count <= 0) {
            lost++; /* settle() opens another in its place; the count tells */
            return drop(fd);
        }
        if (client->stage == STAGE_ASKED && answer_take(&client->answer, bytes, (size_t)count)) {
            client->stage = STAGE_HELD;
            opening--;
            held++;
        }
    } while (stream_holds(&client->stream));
}

static void step(int fd)
{
    struct client *client = &clients[fd];
    if (client->stage == STAGE_FREE)
        return;
    if (client->stage == STAGE_CONNECTING) {
        int reason = connect_result(fd);
        if (reason != 0)
            return fail(fd, reason);
        watch(poll_fd, EPOLL_CTL_MOD, fd, EPOLLIN, (uint64_t)fd);
        if (context == NULL)
            return ask(fd);
        tls_begin(&client->stream, context, NULL);
        client->stage = STAGE_SHAKING;
    }
    if (client->stage == STAGE_SHAKING) {
        ssize_t result = tls_shake(&client->stream);
        if (result > 0)
            return ask(fd);
        if (result == 0 || errno != EAGAIN)
            fail(fd, result == 0 ? EPIPE : errno);
        return;
    }
    read_more(fd);
}

/* Takes whole lines from stdin. Returns false at its end. */
static bool take_orders(void)
{
    static char line[64];
    static size_t length;
    char bytes[64];
    ssize_t count = read(STDIN_FILENO, bytes, sizeof bytes);
    for (ssize_t at = 0; at < count; at++) {
        if (bytes[at] != '\n') {
            if (length + 1 < sizeof line)
                line[length++] = bytes[at];
            continue;
        }
        line[length] = '\0';
        length = 0;
        target = strtoull(line, NULL, 10);
        if (target + 64 > client_limit)
            die("%llu connections do not fit into %llu open files", (unsigned long long)target,
                (unsigned long long)client_limit);
        answer_due = true;
    }
    return count > 0;
}

int main(int argc, char **argv)
{
    const struct flag flags[] = {
        { "--port", "port on 127.0.0.1 to connect to", &port, 1, 65535, NULL },
        { "--sources", "source addresses, 127.0.0.2 and up", &sources, 1, 250, NULL },
        { "--seconds", "ends by itself after this time", &seconds, 1, 86400, NULL },
        { "--tls", "12 | 13: over TLS of this version; 0: plain", &version, 0, 13, NULL },
    };
    read_flags(argc, argv,
               "idle: holds connections. A number N on stdin means go to N; the answer, once every connection\n"
               "has exchanged one request: `open=N failed=N lost=N` (lost: a held one was ended by the other\n"
               "side). Ends at the end of stdin.",
               flags, sizeof flags / sizeof *flags);
    if (port == 0)
        die("--port is needed");
    client_limit = raise_nofile();
    clients = calloc(client_limit, sizeof *clients);
    if (clients == NULL)
        die("out of memory");
    if (version > 0)
        context = tls_context(version);
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes with write(2) */
    alarm((unsigned)seconds); /* nothing to tidy: the default action ends us */
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    watch(poll_fd, EPOLL_CTL_ADD, STDIN_FILENO, EPOLLIN, STDIN_DATA);

    struct epoll_event events[EVENTS_MAX];
    for (;;) {
        int count = epoll_wait(poll_fd, events, EVENTS_MAX, -1);
        for (int event = 0; event < count; event++) {
            if (events[event].data.u64 != STDIN_DATA)
                step((int)events[event].data.u64);
            else if (!take_orders())
                return 0;
        }
        settle();
    }
}
