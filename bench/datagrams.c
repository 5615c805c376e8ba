/* Datagrams: a server that sends each back (--serve 1), or a load that keeps so many in flight.
 *
 * The load has --flows sockets with --window datagrams of each on the way; an answer lets the next one go, and what is
 * lost is sent anew after 100 ms. With --fresh 1 every datagram is another client's: a socket of its own, as stub
 * resolvers ask. It begins when the first answer has come, for which it waits ten seconds. */
#include "tool.h"

#include <netinet/udp.h>

#define BATCH 32
#define BYTES_MAX 65507
#define FLOWS_MAX 4096
#define EVENTS_MAX 256
#define LOST_NS (NS_PER_S / 10)

static char space[BATCH][BYTES_MAX + 1];
static struct mmsghdr messages[BATCH];
static struct iovec spans[BATCH];
static struct sockaddr_in from[BATCH];

static void serve(int fd, uint64_t end)
{
    struct timeval wait = { .tv_usec = 100000 };
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    while (now_ns() < end) {
        for (int m = 0; m < BATCH; m++) {
            spans[m] = (struct iovec){ space[m], sizeof space[m] };
            messages[m].msg_hdr = (struct msghdr){ .msg_name = &from[m], .msg_namelen = sizeof from[m],
                                                   .msg_iov = &spans[m], .msg_iovlen = 1 };
        }
        int came = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
        for (int m = 0; m < came; m++)
            spans[m].iov_len = messages[m].msg_len;
        if (came > 0)
            sendmmsg(fd, messages, (unsigned)came, 0);
    }
}

static uint64_t port = 9000, seconds = 5, warmup, flows = 64, window = 8, bytes = 200, fresh, serves;
static int fds[FLOWS_MAX];
static uint64_t in_flight[FLOWS_MAX], heard_ns[FLOWS_MAX], answers, lost;
static int poll_fd;

static void open_flow(uint64_t flow)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), room = 4 << 20;
    struct sockaddr_in to = loopback(1, (uint16_t)port);
    if (fd == -1 || connect(fd, (struct sockaddr *)&to, sizeof to) == -1)
        die("socket: %s", strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    watch(poll_fd, EPOLL_CTL_ADD, fd, EPOLLIN, flow);
    fds[flow] = fd, in_flight[flow] = 0;
}

static void fill(uint64_t flow, uint64_t now)
{
    for (; in_flight[flow] < window; in_flight[flow]++)
        if (send(fds[flow], space[0], bytes, 0) == -1)
            break;
    heard_ns[flow] = now;
}

static void hear(uint64_t flow, uint64_t now)
{
    while (recv(fds[flow], space[1], sizeof space[1], MSG_DONTWAIT) >= 0) {
        answers++;
        if (in_flight[flow] > 0)
            in_flight[flow]--;
    }
    if (fresh && in_flight[flow] == 0) {
        close(fds[flow]);
        open_flow(flow);
    }
    fill(flow, now);
}

static uint64_t turn(struct epoll_event *events)
{
    int count = epoll_wait(poll_fd, events, EVENTS_MAX, 10);
    uint64_t now = now_ns();
    for (int e = 0; e < count; e++)
        hear(events[e].data.u64, now);
    return now;
}

static void look_for_lost(uint64_t now)
{
    for (uint64_t flow = 0; flow < flows; flow++) {
        if (now - heard_ns[flow] < LOST_NS)
            continue;
        lost += in_flight[flow];
        in_flight[flow] = 0;
        fill(flow, now);
    }
}

int main(int argc, char **argv)
{
    const struct flag flags[] = {
        { "--port", "UDP port on 127.0.0.1", &port, 1, 65535, NULL },
        { "--seconds", "how long", &seconds, 1, 3600, NULL },
        { "--warmup", "seconds before that, not counted", &warmup, 0, 600, NULL },
        { "--flows", "sockets", &flows, 1, FLOWS_MAX, NULL },
        { "--window", "datagrams of each on the way", &window, 1, 1024, NULL },
        { "--bytes", "of each", &bytes, 0, BYTES_MAX, NULL },
        { "--fresh", "1: each is another client's", &fresh, 0, 1, NULL },
        { "--serve", "1: sends back what comes", &serves, 0, 1, NULL },
    };
    read_flags(argc, argv, "Datagrams to a port and back.", flags, sizeof flags / sizeof *flags);
    raise_nofile();
    if (serves) {
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), room = 4 << 20;
        struct sockaddr_in own = loopback(1, (uint16_t)port);
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
        if (fd == -1 || bind(fd, (struct sockaddr *)&own, sizeof own) == -1)
            die("bind: %s", strerror(errno));
        serve(fd, now_ns() + seconds * NS_PER_S);
        return 0;
    }
    if (fresh)
        window = 1;
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[EVENTS_MAX];
    open_flow(0);
    for (uint64_t tries = 0; answers == 0; tries++) {
        if (tries == 100)
            die("no answer in ten seconds");
        in_flight[0] = 0;
        fill(0, now_ns());
        for (uint64_t until = now_ns() + LOST_NS; answers == 0 && now_ns() < until;)
            turn(events);
    }
    for (uint64_t flow = 1; flow < flows; flow++)
        open_flow(flow);
    uint64_t now = now_ns(), begin = now + warmup * NS_PER_S, looked = now;
    for (uint64_t flow = 0; flow < flows; flow++)
        fill(flow, now);
    bool counts = false;
    for (uint64_t end = begin + seconds * NS_PER_S; now < end;) {
        now = turn(events);
        if (now - looked > LOST_NS) {
            look_for_lost(now);
            looked = now;
        }
        if (!counts && now >= begin) {
            printf("warm=1\n");
            fflush(stdout);
            counts = true, answers = lost = 0;
        }
    }
    printf("answers=%llu lost=%llu per_second=%.0f\n", (unsigned long long)answers, (unsigned long long)lost,
           (double)answers / (double)seconds);
    return 0;
}
