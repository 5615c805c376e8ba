/* Moves large bodies through HTTP, one after another on each of a few connections, until its time is up.
 *
 * Down: `GET /bytes/N`, the answer's body thrown away by the kernel. Up: `POST` of N bytes, then its
 * answer is awaited. Neither copies a body byte on this side, so that the proxy is what is asked; over
 * TLS each is encrypted or decrypted here as well.
 * Anything but a 200 with a Content-Length, and any connection that ends, is a failure of the run. */
#include "tls.h"

#define CONNECTIONS_MAX 64
#define PART_BYTES (1u << 20)
#define READ_BYTES 65536 /* heads, and bodies over TLS */

struct client {
    struct stream stream;
    size_t head_left_bytes;   /* of the request's head, not sent yet */
    uint64_t body_left_bytes; /* of the request's body, not sent yet */
    bool answer_begun;
    struct answer answer;
};

static const char STATUS[] = "HTTP/1.1 200";

static struct client clients[CONNECTIONS_MAX];
static char head[256], part[PART_BYTES];
static size_t head_bytes;
static uint64_t port, connections = 2, body_bytes = 1ull << 30, seconds = 5, version;
static uint64_t moved_bytes, requests;
static bool up;
static int poll_fd;
static SSL_CTX *context; /* NULL: plain TCP */

static void ask(uint64_t index)
{
    struct client *client = &clients[index];
    client->head_left_bytes = head_bytes;
    client->body_left_bytes = up ? body_bytes : 0;
    client->answer_begun = false;
    client->answer = (struct answer){ 0 };
    watch(poll_fd, EPOLL_CTL_MOD, client->stream.fd, EPOLLOUT, index);
}

static void open_clients(void)
{
    for (uint64_t index = 0; index < connections; index++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
        struct sockaddr_in to = loopback(1, (uint16_t)port);
        if (fd == -1 || connect(fd, (struct sockaddr *)&to, sizeof to) == -1)
            die("connect to 127.0.0.1:%llu: %s", (unsigned long long)port, strerror(errno));
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        clients[index].stream = (struct stream){ .fd = fd };
        if (context != NULL) {
            tls_begin(&clients[index].stream, context, NULL);
            if (tls_shake(&clients[index].stream) <= 0)
                tls_die("handshake");
        }
        fcntl(fd, F_SETFL, O_NONBLOCK);
        watch(poll_fd, EPOLL_CTL_ADD, fd, EPOLLOUT, index);
        ask(index);
    }
}

/* Sends head or body once; once all is sent, the answer is waited for. */
static void send_more(uint64_t index)
{
    struct client *client = &clients[index];
    bool in_head = client->head_left_bytes > 0;
    uint64_t left = in_head ? client->head_left_bytes : client->body_left_bytes;
    const char *from = in_head ? head + head_bytes - client->head_left_bytes : part;
    ssize_t sent = stream_send(&client->stream, from, left < PART_BYTES ? (size_t)left : PART_BYTES);
    if (sent == -1 && (errno == EAGAIN || errno == EINTR))
        return;
    if (sent <= 0)
        die("send: %s, %llu bytes of the body left", strerror(errno), (unsigned long long)client->body_left_bytes);
    if (in_head) {
        client->head_left_bytes -= (size_t)sent;
    } else {
        client->body_left_bytes -= (uint64_t)sent;
        moved_bytes += (uint64_t)sent;
    }
    if (client->head_left_bytes + client->body_left_bytes == 0)
        watch(poll_fd, EPOLL_CTL_MOD, client->stream.fd, EPOLLIN, index);
}

/* Throws up to <left> bytes of the body away: in the kernel, or after decrypting them. */
static ssize_t skip(const struct stream *stream, uint64_t left)
{
    static char bytes[READ_BYTES];
    size_t most = stream->ssl == NULL ? PART_BYTES : sizeof bytes;
    size_t room = left < most ? (size_t)left : most;
    return stream->ssl == NULL ? recv(stream->fd, NULL, room, MSG_TRUNC) : stream_recv(stream, bytes, room);
}

/* Reads once: the answer's head into memory, its body away. */
static void read_more(uint64_t index)
{
    static char bytes[READ_BYTES];
    struct client *client = &clients[index];
    bool in_body = client->answer.blank_line == 4;
    ssize_t count = in_body ? skip(&client->stream, client->answer.body_left_bytes)
                            : stream_recv(&client->stream, bytes, sizeof bytes);
    if (count == -1 && (errno == EAGAIN || errno == EINTR))
        return;
    if (count <= 0)
        die("an answer ended early: %s", count == 0 ? "end of stream" : strerror(errno));
    if (!client->answer_begun && (count < 12 || memcmp(bytes, STATUS, sizeof STATUS - 1) != 0))
        die("an answer is not a 200: %.*s", (int)(count < 40 ? count : 40), bytes);
    client->answer_begun = true;
    bool whole;
    if (in_body) {
        client->answer.body_left_bytes -= (uint64_t)count;
        whole = client->answer.body_left_bytes == 0;
    } else {
        whole = answer_take(&client->answer, bytes, (size_t)count);
    }
    if (!up)
        moved_bytes += (uint64_t)count; /* the head's few bytes count for nothing */
    if (!whole)
        return;
    requests++;
    ask(index);
}

int main(int argc, char **argv)
{
    const char *mode = "down";
    const struct flag flags[] = {
        { "--port", "port on 127.0.0.1 to ask", &port, 1, 65535, NULL },
        { "--mode", "down (GET) | up (POST)", NULL, 0, 0, &mode },
        { "--body", "bytes in each body", &body_bytes, 1, 1ull << 40, NULL },
        { "--connections", "at the same time", &connections, 1, CONNECTIONS_MAX, NULL },
        { "--seconds", "ends where it is after this time", &seconds, 1, 3600, NULL },
        { "--tls", "12 | 13: over TLS of this version; 0: plain", &version, 0, 13, NULL },
    };
    read_flags(argc, argv,
               "transfer: moves large bodies, one after another on each connection.\n"
               "Prints one line: bytes requests (answered whole) seconds. Exits 1 if anything failed.",
               flags, sizeof flags / sizeof *flags);
    if (port == 0)
        die("--port is needed");
    up = strcmp(mode, "up") == 0;
    if (!up && strcmp(mode, "down") != 0)
        die("--mode is down or up");
    const char *form = up ? "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %llu\r\n\r\n"
                          : "GET /bytes/%llu HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    head_bytes = (size_t)sprintf(head, form, (unsigned long long)body_bytes);

    if (version > 0)
        context = tls_context(version);
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes with write(2) */
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    open_clients();
    uint64_t start_ns = now_ns(), end_ns = start_ns + seconds * NS_PER_S, now = start_ns;
    struct epoll_event events[CONNECTIONS_MAX];
    for (; now < end_ns; now = now_ns()) {
        int count = epoll_wait(poll_fd, events, CONNECTIONS_MAX, (int)((end_ns - now) / 1000000) + 1);
        for (int event = 0; event < count; event++) {
            uint64_t index = events[event].data.u64;
            if (clients[index].head_left_bytes + clients[index].body_left_bytes > 0)
                send_more(index);
            else
                read_more(index);
        }
    }
    printf("bytes=%llu requests=%llu seconds=%.3f\n", (unsigned long long)moved_bytes,
           (unsigned long long)requests, (double)(now - start_ns) / 1e9);
    return moved_bytes > 0 ? 0 : 1;
}
