/* The server behind the proxy: answers every request head with one fixed response.
 *
 * Knows of HTTP/1.1 only what the bench needs: a head ends at a blank line; heads may arrive in pieces
 * or many at once; "Connection: close" ends the connection after its answer. Requests with a body are
 * not understood: their body would be read as the next head.
 * A connection is a few counters, no buffer: all answers are the same bytes, so what is unsent is a
 * number. Each fd is closed only while its own event is handled, so no late event can meet a reused fd. */
#include "tool.h"

#define EVENTS_MAX 256
#define ACCEPTS_PER_TURN 64
#define ANSWERS_PER_SEND 64 /* that many copies lie side by side, for pipelined requests */
#define BODY_BYTES_MAX 65536
#define READ_BYTES 65536

static const char CLOSE_FIELD[] = "\r\nconnection: close";

struct connection {
    uint64_t owed_bytes;  /* of answers, not sent yet */
    uint8_t blank_line;   /* bytes of the head's blank line seen */
    uint8_t close_field;  /* bytes of CLOSE_FIELD seen */
    bool ends;            /* close once nothing is owed */
    bool says_close;      /* the last answer owed carries Connection: close */
    bool waits_to_send;   /* EPOLLOUT is asked for */
};

static struct connection *connections; /* by fd */
static uint64_t connection_limit;
static char *answers;     /* ANSWERS_PER_SEND answers */
static char *last_answer; /* the same length, but it says Connection: close */
static size_t answer_bytes;
static int poll_fd;
static uint64_t requests, accepted, open_now, open_most;
static volatile sig_atomic_t stop;

static void on_signal(int signal_number)
{
    (void)signal_number;
    stop = 1;
}

static void build_answers(size_t body_bytes)
{
    char *body = malloc(body_bytes + 1);
    char *text = malloc(body_bytes + 256);
    if (body == NULL || text == NULL)
        die("out of memory");
    memset(body, 'x', body_bytes);
    body[body_bytes] = '\0';
    /* "close" is padded with spaces, which a field value may end in, so that both are equally long. */
    const char *form = "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: %-10s\r\n\r\n%s";
    answer_bytes = (size_t)sprintf(text, form, body_bytes, "keep-alive", body);
    answers = malloc(answer_bytes * ANSWERS_PER_SEND);
    if (answers == NULL)
        die("out of memory");
    for (size_t copy = 0; copy < ANSWERS_PER_SEND; copy++)
        memcpy(answers + copy * answer_bytes, text, answer_bytes);
    sprintf(text, form, body_bytes, "close", body);
    last_answer = text;
    free(body);
}

static int listen_on(uint16_t *port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = loopback(1, *port);
    socklen_t size = sizeof address;
    if (fd == -1 || bind(fd, (struct sockaddr *)&address, size) == -1 || listen(fd, 65535) == -1)
        die("listen on 127.0.0.1:%u: %s", *port, strerror(errno));
    if (getsockname(fd, (struct sockaddr *)&address, &size) == -1)
        die("getsockname: %s", strerror(errno));
    *port = ntohs(address.sin_port);
    return fd;
}

static void end_connection(int fd)
{
    close(fd);
    open_now--;
}

static void take_connections(int listen_fd)
{
    for (int turn = 0; turn < ACCEPTS_PER_TURN; turn++) {
        int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd == -1)
            return; /* EAGAIN, or out of files: the listener stays readable */
        if ((uint64_t)fd >= connection_limit) {
            close(fd);
            continue;
        }
        int one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        connections[fd] = (struct connection){ 0 };
        watch(poll_fd, EPOLL_CTL_ADD, fd, EPOLLIN, (uint64_t)fd);
        accepted++;
        open_now++;
        if (open_now > open_most)
            open_most = open_now;
    }
}

/* Counts the heads that end in <bytes>, each of which is owed one answer. */
static void take_heads(struct connection *connection, const char *bytes, size_t count)
{
    for (size_t at = 0; at < count && !connection->ends; at++) {
        connection->blank_line = match_blank_line(connection->blank_line, bytes[at]);
        if (connection->close_field < sizeof CLOSE_FIELD - 1)
            connection->close_field = match_more(CLOSE_FIELD, connection->close_field, bytes[at]);
        if (connection->blank_line < 4)
            continue;
        requests++;
        connection->owed_bytes += answer_bytes;
        connection->blank_line = 0;
        connection->ends = connection->says_close = connection->close_field == sizeof CLOSE_FIELD - 1;
        connection->close_field = 0;
    }
}

/* Sends what is owed until the socket is full. Returns false when the connection failed. */
static bool send_owed(int fd, struct connection *connection)
{
    while (connection->owed_bytes > 0) {
        bool last = connection->says_close && connection->owed_bytes <= answer_bytes;
        uint64_t plain = connection->owed_bytes - (connection->says_close && !last ? answer_bytes : 0);
        size_t into = (answer_bytes - connection->owed_bytes % answer_bytes) % answer_bytes;
        size_t room = (last ? answer_bytes : answer_bytes * ANSWERS_PER_SEND) - into;
        size_t size = plain < room ? plain : room;
        ssize_t sent = send(fd, (last ? last_answer : answers) + into, size, MSG_NOSIGNAL);
        if (sent == -1)
            return errno == EAGAIN || errno == EINTR;
        connection->owed_bytes -= (uint64_t)sent;
    }
    return true;
}

static void serve(int fd, uint32_t events)
{
    static char bytes[READ_BYTES];
    struct connection *connection = &connections[fd];
    if (!connection->ends && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
        ssize_t count = recv(fd, bytes, sizeof bytes, 0);
        if (count == -1 && errno != EAGAIN && errno != EINTR)
            return end_connection(fd);
        if (count == 0)
            connection->ends = true; /* half-closed: what it asked for is still answered */
        if (count > 0)
            take_heads(connection, bytes, (size_t)count);
    } else if (connection->ends && (events & (EPOLLHUP | EPOLLERR)) != 0) {
        return end_connection(fd);
    }
    if (!send_owed(fd, connection) || (connection->ends && connection->owed_bytes == 0))
        return end_connection(fd);
    bool wait = connection->owed_bytes > 0;
    if (wait != connection->waits_to_send) {
        connection->waits_to_send = wait;
        /* While answers wait, no more requests are read: what is owed stays bounded. */
        watch(poll_fd, EPOLL_CTL_MOD, fd, wait ? EPOLLOUT : EPOLLIN, (uint64_t)fd);
    }
}

int main(int argc, char **argv)
{
    uint64_t port_flag = 0, seconds = 3600, body_bytes = 128;
    const struct flag flags[] = {
        { "--port", "port on 127.0.0.1, 0 = any free one", &port_flag, 0, 65535, NULL },
        { "--body", "bytes of body in each answer", &body_bytes, 0, BODY_BYTES_MAX, NULL },
        { "--seconds", "ends by itself after this time", &seconds, 1, 86400, NULL },
    };
    read_flags(argc, argv,
               "origin: answers every HTTP/1.1 request head with one fixed 200 response.\n"
               "Prints `port=N` when it listens; at SIGTERM, SIGINT or the deadline\n"
               "`requests=N connections=N open_most=N`.",
               flags, sizeof flags / sizeof *flags);

    connection_limit = raise_nofile();
    connections = calloc(connection_limit, sizeof *connections);
    if (connections == NULL)
        die("out of memory");
    build_answers(body_bytes);
    struct sigaction action = { .sa_handler = on_signal };
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGALRM, &action, NULL);
    alarm((unsigned)seconds);

    uint16_t port = (uint16_t)port_flag;
    int listen_fd = listen_on(&port);
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    watch(poll_fd, EPOLL_CTL_ADD, listen_fd, EPOLLIN, (uint64_t)listen_fd);
    printf("port=%u\n", port);
    fflush(stdout);

    struct epoll_event events[EVENTS_MAX];
    while (!stop) {
        int count = epoll_wait(poll_fd, events, EVENTS_MAX, -1);
        for (int event = 0; event < count; event++) {
            int fd = (int)events[event].data.u64;
            if (fd == listen_fd)
                take_connections(listen_fd);
            else
                serve(fd, events[event].events);
        }
    }
    printf("requests=%llu connections=%llu open_most=%llu\n", (unsigned long long)requests,
           (unsigned long long)accepted, (unsigned long long)open_most);
    return 0;
}
