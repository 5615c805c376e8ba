/* Many clients that each say something now and then, and expect it back: --bytes every --least to --most
 * seconds, at times of their own. What a crowd of them costs in memory is asked while they talk. */
#include "tool.h"

#define EVENTS_MAX 256
#define OPENING_MAX 64 /* at the same time: far below any accept queue */
#define FAILURES_MAX 100
#define BYTES_MAX 65536
#define TICK_NS 10000000ull
#define TICKS 65536 /* of the wheel: longer than any pause */

enum stage { STAGE_FREE, STAGE_CONNECTING, STAGE_QUIET, STAGE_ASKED };

struct client {
    enum stage stage;
    uint32_t left_bytes; /* of what is expected back */
    uint64_t asked_ns;
    int next; /* on the wheel; -1: the last */
};

static struct client *clients; /* by fd */
static int wheel[TICKS];
static uint64_t client_limit, poll_tick, port, sources = 8, seconds = 60, wanted = 1000, bytes_each = 800;
static uint64_t least_s = 1, most_s = 10, open_now, opening, opened, failed, lost, messages, slowest_ns;
static char said[BYTES_MAX];
static bool all_open;
static int poll_fd;

static uint64_t chance(void)
{
    static uint64_t state = 88172645463325252ull; /* xorshift64, the same in every run */
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state;
}

/* Hangs a client up for its next message. */
static void plan(int fd)
{
    uint64_t range = (most_s - least_s) * NS_PER_S / TICK_NS + 1;
    uint64_t tick = poll_tick + least_s * NS_PER_S / TICK_NS + chance() % range;
    clients[fd].stage = STAGE_QUIET;
    clients[fd].next = wheel[tick % TICKS];
    wheel[tick % TICKS] = fd;
}

static void drop(int fd, int reason)
{
    if (clients[fd].stage == STAGE_CONNECTING)
        opening--, failed++;
    else
        open_now--, lost++;
    if (failed + lost > FAILURES_MAX)
        die("giving up after %d failures, the last: %s", FAILURES_MAX, strerror(reason));
    clients[fd].stage = STAGE_FREE; /* it may hang on the wheel: its fd is not closed before the end */
    shutdown(fd, SHUT_RDWR);
}

static void settle(void)
{
    while (open_now + opening < wanted && opening < OPENING_MAX && failed + lost == 0) {
        int fd = start_connect((uint16_t)port, (uint32_t)(2 + opened++ % sources));
        if (fd < 0)
            die("connect: %s", strerror(-fd));
        if ((uint64_t)fd >= client_limit)
            die("%llu connections do not fit", (unsigned long long)wanted);
        clients[fd] = (struct client){ .stage = STAGE_CONNECTING };
        opening++;
        watch(poll_fd, EPOLL_CTL_ADD, fd, EPOLLOUT, (uint64_t)fd);
    }
    if (!all_open && open_now == wanted) {
        all_open = true;
        printf("open=%llu\n", (unsigned long long)open_now);
        fflush(stdout);
    }
}

static void ask(int fd)
{
    struct client *client = &clients[fd];
    if (client->stage != STAGE_QUIET)
        return;
    client->asked_ns = now_ns();
    client->left_bytes = (uint32_t)bytes_each;
    client->stage = STAGE_ASKED;
    if (send(fd, said, bytes_each, MSG_NOSIGNAL) != (ssize_t)bytes_each)
        drop(fd, errno);
}

static void step(int fd)
{
    static char bytes[BYTES_MAX];
    struct client *client = &clients[fd];
    if (client->stage == STAGE_FREE)
        return;
    if (client->stage == STAGE_CONNECTING) {
        int reason = connect_result(fd);
        if (reason != 0)
            return drop(fd, reason);
        watch(poll_fd, EPOLL_CTL_MOD, fd, EPOLLIN, (uint64_t)fd);
        opening--, open_now++;
        return plan(fd);
    }
    ssize_t count = recv(fd, bytes, sizeof bytes, 0);
    if (count == -1 && (errno == EAGAIN || errno == EINTR))
        return;
    if (count <= 0 || client->stage != STAGE_ASKED || (size_t)count > client->left_bytes)
        return drop(fd, count < 0 ? errno : EPIPE);
    client->left_bytes -= (uint32_t)count;
    if (client->left_bytes > 0)
        return;
    uint64_t took_ns = now_ns() - client->asked_ns;
    if (took_ns > slowest_ns)
        slowest_ns = took_ns;
    messages++;
    plan(fd);
}

/* Asks for those whose time has come. */
static void turn_wheel(void)
{
    uint64_t tick = now_ns() / TICK_NS;
    for (; poll_tick < tick; poll_tick++) {
        int fd = wheel[poll_tick % TICKS];
        wheel[poll_tick % TICKS] = -1;
        for (int next; fd != -1; fd = next) {
            next = clients[fd].next;
            ask(fd);
        }
    }
}

int main(int argc, char **argv)
{
    const struct flag flags[] = {
        { "--port", "port on 127.0.0.1 to connect to", &port, 1, 65535, NULL },
        { "--sources", "source addresses, 127.0.0.2 and up", &sources, 1, 250, NULL },
        { "--connections", "clients", &wanted, 1, 1000000, NULL },
        { "--bytes", "of a message", &bytes_each, 1, BYTES_MAX, NULL },
        { "--least", "seconds from an answer to the next message", &least_s, 0, 600, NULL },
        { "--most", "the same at most", &most_s, 1, 600, NULL },
        { "--seconds", "ends after this time", &seconds, 1, 86400, NULL },
    };
    read_flags(argc, argv,
               "chatter: clients that say something now and then and expect it back. Prints `open=N` once all\n"
               "are connected, and at the end `open=N messages=N failed=N lost=N slowest_ms=N`.",
               flags, sizeof flags / sizeof *flags);
    if (port == 0)
        die("--port is needed");
    if (most_s < least_s)
        die("--most is less than --least");
    client_limit = raise_nofile();
    clients = calloc(client_limit, sizeof *clients);
    if (clients == NULL)
        die("out of memory");
    memset(wheel, -1, sizeof wheel);
    memset(said, 'x', sizeof said);
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    poll_tick = now_ns() / TICK_NS;

    struct epoll_event events[EVENTS_MAX];
    uint64_t end_ns = now_ns() + seconds * NS_PER_S;
    while (now_ns() < end_ns) {
        settle();
        int count = epoll_wait(poll_fd, events, EVENTS_MAX, (int)(TICK_NS / 1000000));
        for (int event = 0; event < count; event++)
            step((int)events[event].data.u64);
        turn_wheel();
    }
    printf("open=%llu messages=%llu failed=%llu lost=%llu slowest_ms=%llu\n", (unsigned long long)open_now,
           (unsigned long long)messages, (unsigned long long)failed, (unsigned long long)lost,
           (unsigned long long)(slowest_ns / 1000000));
    return all_open && failed + lost == 0 ? 0 : 1;
}
