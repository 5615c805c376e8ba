/* Latency under a load that does not wait for the proxy.
 *
 * Request number k is due at start + k / rate, whatever happened to those before it, and its latency
 * runs from that instant until its answer is whole. A request that finds every connection busy waits
 * in the queue and its wait counts, so a stall of the proxy is charged to every request it delayed
 * (no coordinated omission). The queue needs no memory: the schedule is arithmetic, so it is the
 * numbers between the last one sent and the last one due. */
#include "tool.h"
#include <sys/prctl.h>

#define EVENTS_MAX 256
#define CONNECTIONS_MAX 4096
#define READ_BYTES 65536
#define DRAIN_NS (2 * NS_PER_S) /* how long after the last due request answers are waited for */

/* Log-linear: values below 256 ns are exact, above that each power of two has 128 buckets, so a
 * bucket is at most 1/128 = 0.8% wide. */
#define BUCKET_BITS 7
#define BUCKETS ((64 - BUCKET_BITS + 1) << BUCKET_BITS)

static uint64_t histogram[BUCKETS];
static uint64_t recorded, sum_ns, max_ns;

static unsigned bucket_of(uint64_t ns)
{
    if (ns < 2u << BUCKET_BITS)
        return (unsigned)ns;
    unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - BUCKET_BITS;
    return (shift << BUCKET_BITS) + (unsigned)(ns >> shift);
}

/* The largest value that falls into <bucket>. */
static uint64_t bucket_top_ns(unsigned bucket)
{
    if (bucket < 2u << BUCKET_BITS)
        return bucket;
    unsigned shift = (bucket >> BUCKET_BITS) - 1;
    uint64_t mantissa = (bucket & ((1u << BUCKET_BITS) - 1)) | (1u << BUCKET_BITS);
    return ((mantissa + 1) << shift) - 1;
}

static void record(uint64_t ns)
{
    histogram[bucket_of(ns)]++;
    recorded++;
    sum_ns += ns;
    if (ns > max_ns)
        max_ns = ns;
}

/* The value that <permille> of 1000 requests did not exceed, in microseconds. */
static double quantile_us(unsigned permille)
{
    uint64_t want = (recorded * permille + 999) / 1000, seen = 0;
    for (unsigned bucket = 0; bucket < BUCKETS; bucket++) {
        seen += histogram[bucket];
        if (seen >= want && seen > 0) {
            uint64_t top = bucket_top_ns(bucket);
            return (double)(top < max_ns ? top : max_ns) / 1000;
        }
    }
    return 0;
}

struct client {
    int fd; /* -1: it failed and is out of use */
    bool busy;
    uint64_t due_ns; /* of the request it carries */
    struct answer answer;
};

static const char REQUEST[] = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";

static struct client clients[CONNECTIONS_MAX];
static uint64_t rest[CONNECTIONS_MAX]; /* ring of idle clients: the longest idle is used first */
static uint64_t rest_first, rest_count, connection_count, live_count;
static uint64_t start_ns, measure_from_ns, sent, answered, failed, queued;

static void rest_put(uint64_t client)
{
    rest[(rest_first + rest_count++) % connection_count] = client;
}

static uint64_t rest_take(void)
{
    uint64_t client = rest[rest_first];
    rest_first = (rest_first + 1) % connection_count;
    rest_count--;
    return client;
}

static void client_fail(uint64_t index)
{
    struct client *client = &clients[index];
    if (client->busy)
        failed++;
    close(client->fd);
    client->fd = -1;
    client->busy = false;
    live_count--;
}

static void client_send(uint64_t index, uint64_t due_ns)
{
    struct client *client = &clients[index];
    client->busy = true;
    client->due_ns = due_ns;
    client->answer = (struct answer){ 0 };
    sent++;
    if (send(client->fd, REQUEST, sizeof REQUEST - 1, MSG_NOSIGNAL) != sizeof REQUEST - 1)
        client_fail(index);
}

static void client_read(uint64_t index)
{
    static char bytes[READ_BYTES];
    struct client *client = &clients[index];
    if (client->fd == -1)
        return; /* failed earlier in this batch */
    ssize_t count = recv(client->fd, bytes, sizeof bytes, 0);
    if (count == -1 && (errno == EAGAIN || errno == EINTR))
        return;
    if (count <= 0 || !client->busy) {
        if (!client->busy)
            die("a connection ended or spoke while it was idle");
        return client_fail(index);
    }
    if (!answer_take(&client->answer, bytes, (size_t)count))
        return;
    uint64_t now = now_ns();
    if (client->due_ns >= measure_from_ns)
        record(now - client->due_ns);
    answered++;
    client->busy = false;
    rest_put(index);
}

static void open_clients(int poll_fd, uint16_t port)
{
    for (uint64_t index = 0; index < connection_count; index++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
        struct sockaddr_in to = loopback(1, port);
        if (fd == -1 || connect(fd, (struct sockaddr *)&to, sizeof to) == -1)
            die("connect to 127.0.0.1:%u: %s", port, strerror(errno));
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        fcntl(fd, F_SETFL, O_NONBLOCK);
        clients[index] = (struct client){ .fd = fd };
        watch(poll_fd, EPOLL_CTL_ADD, fd, EPOLLIN, index);
        rest_put(index);
    }
    live_count = connection_count;
}

/* Sleeps until an answer arrives or <until_ns>; the thread's timer slack is 1 ns. */
static void take_answers(int poll_fd, uint64_t until_ns)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t now = now_ns(), wait_ns = until_ns > now ? until_ns - now : 0;
    struct timespec wait = { .tv_sec = (time_t)(wait_ns / NS_PER_S), .tv_nsec = (long)(wait_ns % NS_PER_S) };
    int count = epoll_pwait2(poll_fd, events, EVENTS_MAX, &wait, NULL);
    for (int event = 0; event < count; event++)
        client_read(events[event].data.u64);
}

int main(int argc, char **argv)
{
    uint64_t port = 0, rate = 1000, seconds = 5, warmup = 1, connections = 64;
    const struct flag flags[] = {
        { "--port", "port on 127.0.0.1 to ask", &port, 1, 65535, NULL },
        { "--rate", "requests offered per second", &rate, 1, 10000000, NULL },
        { "--connections", "kept open throughout", &connections, 1, CONNECTIONS_MAX, NULL },
        { "--seconds", "time measured", &seconds, 1, 3600, NULL },
        { "--warmup", "seconds of the same load before it, not counted", &warmup, 0, 600, NULL },
    };
    read_flags(argc, argv,
               "openloop: offers HTTP requests on a fixed schedule; latency counts from the scheduled instant.\n"
               "Prints one line: rate (answered per second) sent answered failed unanswered queued (found no\n"
               "idle connection) p50_us p90_us p99_us p999_us max_us mean_us. Exits 1 if any request failed.",
               flags, sizeof flags / sizeof *flags);
    if (port == 0)
        die("--port is needed");

    raise_nofile();
    prctl(PR_SET_TIMERSLACK, 1ul);
    connection_count = connections;
    int poll_fd = epoll_create1(EPOLL_CLOEXEC);
    open_clients(poll_fd, (uint16_t)port);

    start_ns = now_ns();
    measure_from_ns = start_ns + warmup * NS_PER_S;
    uint64_t total = rate * (warmup + seconds), waiting_from = 0;
    uint64_t end_ns = start_ns + (warmup + seconds) * NS_PER_S;
    while (live_count > 0 && sent < total && now_ns() < end_ns + DRAIN_NS) {
        uint64_t due_ns = start_ns + sent * NS_PER_S / rate;
        if (now_ns() < due_ns) {
            take_answers(poll_fd, due_ns);
        } else if (rest_count > 0) {
            uint64_t client = rest_take();
            if (clients[client].fd != -1)
                client_send(client, due_ns);
        } else {
            if (sent >= waiting_from) { /* each request is counted once, at the queue's head */
                queued++;
                waiting_from = sent + 1;
            }
            take_answers(poll_fd, end_ns + DRAIN_NS);
        }
    }
    while (live_count > 0 && answered + failed < sent && now_ns() < end_ns + DRAIN_NS)
        take_answers(poll_fd, end_ns + DRAIN_NS);

    /* What was never answered waited at least until now: leaving it out would flatter the proxy. */
    uint64_t finish_ns = now_ns(), unanswered = total - answered - failed;
    for (uint64_t index = 0; index < connection_count; index++)
        if (clients[index].busy && clients[index].due_ns >= measure_from_ns)
            record(finish_ns - clients[index].due_ns);
    for (uint64_t request = sent; request < total; request++)
        if (start_ns + request * NS_PER_S / rate >= measure_from_ns)
            record(finish_ns - (start_ns + request * NS_PER_S / rate));

    printf("rate=%.0f sent=%llu answered=%llu failed=%llu unanswered=%llu queued=%llu p50_us=%.1f p90_us=%.1f "
           "p99_us=%.1f p999_us=%.1f max_us=%.1f mean_us=%.1f\n",
           (double)answered / ((double)(finish_ns - start_ns) / 1e9), (unsigned long long)sent,
           (unsigned long long)answered, (unsigned long long)failed, (unsigned long long)unanswered,
           (unsigned long long)queued, quantile_us(500), quantile_us(900), quantile_us(990), quantile_us(999),
           (double)max_ns / 1000, recorded > 0 ? (double)sum_ns / (double)recorded / 1000 : 0.0);
    return failed + unanswered > 0 ? 1 : 0;
}
