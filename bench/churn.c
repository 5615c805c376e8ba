/* Connect, ask, read to the end, close; again and again, a fixed number at a time.
 *
 * Spreads over several source addresses, each of which has a whole range of ports. In mode `request`
 * the server's side ends first, so no port of ours stays in TIME_WAIT; the other two modes end
 * connections from this side, politely (`connect`) or with a reset (`reset`).
 * One slot carries one connection; an fd is closed only while its own event is handled. */
#include "tool.h"

#define CONCURRENCY_MAX 4096
#define EVENTS_MAX 256
#define READ_BYTES 65536

enum mode { MODE_REQUEST, MODE_CONNECT, MODE_RESET };

struct client {
    int fd; /* -1: nothing left to open for this slot */
    bool connected;
    uint64_t answer_bytes;
};

static const char REQUEST[] = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
static const char STATUS[] = "HTTP/1.1 200";

static struct client clients[CONCURRENCY_MAX];
static uint64_t port, count_max = 10000, concurrency = 64, sources = 8, seconds = 30;
static uint64_t started, done, failed, answer_bytes;
static int poll_fd, first_errno;
static enum mode mode;

static void count_failure(int reason)
{
    failed++;
    if (first_errno == 0)
        first_errno = reason;
}

/* Opens the slot's next connection, if one is left to open. */
static void open_next(uint64_t slot)
{
    clients[slot].fd = -1;
    while (started < count_max) {
        int fd = start_connect((uint16_t)port, (uint32_t)(2 + started % sources));
        started++;
        if (fd < 0) {
            count_failure(-fd);
            continue;
        }
        clients[slot] = (struct client){ .fd = fd };
        watch(poll_fd, EPOLL_CTL_ADD, fd, EPOLLOUT, slot);
        return;
    }
}

/* Ends the slot's connection with <reason> (0 = as it should be) and opens the next. */
static void finish(uint64_t slot, int reason)
{
    if (mode == MODE_RESET) {
        struct linger reset = { .l_onoff = 1, .l_linger = 0 };
        setsockopt(clients[slot].fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
    close(clients[slot].fd);
    if (reason == 0)
        done++;
    else
        count_failure(reason);
    open_next(slot);
}

static void step(uint64_t slot)
{
    static char bytes[READ_BYTES];
    struct client *client = &clients[slot];
    if (!client->connected) {
        int reason = connect_result(client->fd);
        if (reason != 0 || mode != MODE_REQUEST)
            return finish(slot, reason);
        client->connected = true;
        if (send(client->fd, REQUEST, sizeof REQUEST - 1, MSG_NOSIGNAL) != sizeof REQUEST - 1)
            return finish(slot, errno);
        watch(poll_fd, EPOLL_CTL_MOD, client->fd, EPOLLIN, slot);
        return;
    }
    ssize_t count = recv(client->fd, bytes, sizeof bytes, 0);
    if (count == -1 && (errno == EAGAIN || errno == EINTR))
        return;
    if (count == -1)
        return finish(slot, errno);
    if (count == 0)
        return finish(slot, client->answer_bytes > 0 ? 0 : EPIPE); /* closed without an answer */
    if (client->answer_bytes == 0
        && ((size_t)count < sizeof STATUS - 1 || memcmp(bytes, STATUS, sizeof STATUS - 1) != 0))
        return finish(slot, EPROTO);
    client->answer_bytes += (uint64_t)count;
    answer_bytes += (uint64_t)count;
}

int main(int argc, char **argv)
{
    const char *mode_text = "request";
    const struct flag flags[] = {
        { "--port", "port on 127.0.0.1 to connect to", &port, 1, 65535, NULL },
        { "--count", "connections to open in all", &count_max, 1, 100000000, NULL },
        { "--concurrency", "open at the same time", &concurrency, 1, CONCURRENCY_MAX, NULL },
        { "--sources", "source addresses, 127.0.0.2 and up", &sources, 1, 250, NULL },
        { "--seconds", "gives up after this time", &seconds, 1, 3600, NULL },
        { "--mode", "request | connect (open, close at once) | reset (open, reset at once)", NULL, 0, 0,
          &mode_text },
    };
    read_flags(argc, argv,
               "churn: opens and closes connections as fast as it can.\n"
               "Prints one line: connections (done as they should) failed unfinished seconds rate answer_bytes,\n"
               "and first_error when some failed. Exits 1 if any failed or was unfinished.",
               flags, sizeof flags / sizeof *flags);
    if (port == 0)
        die("--port is needed");
    if (strcmp(mode_text, "connect") == 0)
        mode = MODE_CONNECT;
    else if (strcmp(mode_text, "reset") == 0)
        mode = MODE_RESET;
    else if (strcmp(mode_text, "request") != 0)
        die("--mode is request, connect or reset");

    raise_nofile();
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    uint64_t start_ns = now_ns(), end_ns = start_ns + seconds * NS_PER_S;
    for (uint64_t slot = 0; slot < concurrency; slot++)
        open_next(slot);

    struct epoll_event events[EVENTS_MAX];
    while (done + failed < count_max) {
        uint64_t now = now_ns();
        if (now >= end_ns)
            break;
        int count = epoll_wait(poll_fd, events, EVENTS_MAX, (int)((end_ns - now) / 1000000) + 1);
        for (int event = 0; event < count; event++)
            step(events[event].data.u64);
    }

    double took = (double)(now_ns() - start_ns) / 1e9;
    printf("connections=%llu failed=%llu unfinished=%llu seconds=%.3f rate=%.0f answer_bytes=%llu",
           (unsigned long long)done, (unsigned long long)failed,
           (unsigned long long)(started - done - failed), took, (double)done / took,
           (unsigned long long)answer_bytes);
    if (failed > 0)
        printf(" first_error=%s", strerrorname_np(first_errno));
    printf("\n");
    return done == count_max ? 0 : 1;
}
