/* Connects at a fixed rate from one source address, whatever becomes of it.
 *
 * Connect number k is due at start + k / rate. One that the other side ends is counted as ended; one that it
 * keeps is held for a second, then reset. At most CONNECTIONS_MAX are open: a connect that is due beyond that
 * is late, and said to be. */
#include "tool.h"

#define CONNECTIONS_MAX 16384
#define EVENTS_MAX 256
#define HELD_NS NS_PER_S

static uint64_t port, rate = 5000, source = 99, seconds = 5;
static int fds[CONNECTIONS_MAX];            /* a ring in the order of their start; -1: gone */
static uint64_t since_ns[CONNECTIONS_MAX];
static uint64_t first, next;                /* those in the ring */
static uint64_t made, ended, held, failed, late;
static int poll_fd;

static void finish(uint64_t number, bool reset)
{
    int *fd = &fds[number % CONNECTIONS_MAX];
    if (reset) {
        struct linger now = { .l_onoff = 1, .l_linger = 0 };
        setsockopt(*fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
    close(*fd);
    *fd = -1;
}

/* Resets what was kept for long enough, and forgets what is gone, the oldest first. */
static void forget(uint64_t now)
{
    for (; first < next; first++) {
        if (fds[first % CONNECTIONS_MAX] != -1) {
            if (since_ns[first % CONNECTIONS_MAX] + HELD_NS > now)
                return;
            held++;
            finish(first, true);
        }
    }
}

static void start_one(uint64_t now)
{
    if (next - first == CONNECTIONS_MAX) {
        late++;
        return;
    }
    int fd = start_connect((uint16_t)port, (uint32_t)source);
    made++;
    if (fd < 0) {
        failed++;
        return;
    }
    fds[next % CONNECTIONS_MAX] = fd;
    since_ns[next % CONNECTIONS_MAX] = now;
    watch(poll_fd, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLRDHUP, next);
    next++;
}

int main(int argc, char **argv)
{
    const struct flag flags[] = {
        { "--port", "of 127.0.0.1", &port, 1, 65535, NULL },
        { "--rate", "connects a second", &rate, 1, 100000, NULL },
        { "--source", "the last number of the source address 127.0.0.N", &source, 2, 254, NULL },
        { "--seconds", "how long", &seconds, 1, 600, NULL },
    };
    read_flags(argc, argv, "Connects at a fixed rate from one address.", flags, sizeof flags / sizeof *flags);
    raise_nofile();
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (poll_fd == -1)
        die("epoll_create1: %s", strerror(errno));
    uint64_t start = now_ns(), end = start + seconds * NS_PER_S;
    for (uint64_t now = start; now < end; now = now_ns()) {
        forget(now);
        for (uint64_t due = (now - start) * rate / NS_PER_S; made + late < due;)
            start_one(now);
        struct epoll_event events[EVENTS_MAX];
        int count = epoll_wait(poll_fd, events, EVENTS_MAX, 1);
        for (int e = 0; e < count; e++) {
            uint64_t number = events[e].data.u64;
            if (fds[number % CONNECTIONS_MAX] == -1)
                continue;
            ended++;
            finish(number, false);
        }
    }
    printf("made=%llu\nended=%llu\nheld=%llu\nfailed=%llu\nlate=%llu\n", (unsigned long long)made,
           (unsigned long long)ended, (unsigned long long)held, (unsigned long long)failed,
           (unsigned long long)late);
    return 0;
}
