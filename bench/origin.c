/* The server behind the proxy: answers every request head with one fixed response, and `GET /bytes/N`
 * with a body of N bytes.
 *
 * Knows of HTTP/1.1 only what the bench needs: a head ends at a blank line; heads may arrive in pieces
 * or many at once; a request's body has a Content-Length, is thrown away unread, and the answer comes
 * after it; "Connection: close" ends the connection after its answer. Chunked bodies are not understood,
 * nor is anything pipelined around a /bytes/N: the connection is ended.
 * A connection is a few counters: all answers are the same bytes, so what is unsent is a number. Only a
 * head that came in pieces is kept. Each fd is closed only while its own event is handled, so no late
 * event can meet a reused fd. */
#include "tool.h"

#define EVENTS_MAX 256
#define ACCEPTS_PER_TURN 64
#define ANSWERS_PER_SEND 64 /* that many copies lie side by side, for pipelined requests */
#define BODY_BYTES_MAX 65536
#define READ_BYTES 65536
#define HEAD_BYTES_MAX 65536
#define LONG_BYTES_MAX (1ull << 40)
#define BODY_PART_BYTES (1u << 20) /* of a long body, at one send or recv */
#define PARTS_PER_TURN 4           /* then the other connections have their turn */

struct connection {
    uint64_t owed_bytes;      /* of fixed answers, not sent yet */
    uint64_t long_left_bytes; /* of a long answer's body, not sent yet; nothing else is owed then */
    uint64_t body_left_bytes; /* of a request's body, not read yet */
    char *head;               /* the beginning of a head that came in pieces, or NULL */
    size_t head_bytes;
    bool asks_close;    /* the request whose body is being read does */
    bool ends;          /* close once nothing is owed */
    bool says_close;    /* the last answer owed carries Connection: close */
    bool waits_to_send; /* EPOLLOUT is asked for */
};

static struct connection *connections; /* by fd */
static uint64_t connection_limit;
static char *answers;     /* ANSWERS_PER_SEND answers */
static char *last_answer; /* the same length, but it says Connection: close */
static size_t answer_bytes;
static char body_part[BODY_PART_BYTES];
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
    free(connections[fd].head);
    connections[fd].head = NULL;
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

static void owe_answer(struct connection *connection, bool asks_close)
{
    connection->owed_bytes += answer_bytes;
    connection->ends = connection->says_close = asks_close;
}

/* Begins the answer to /bytes/N: its head is sent here and fits, since nothing else is owed. */
static bool begin_long(int fd, struct connection *connection, uint64_t body_bytes, bool asks_close)
{
    char head[128];
    int bytes = snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %llu\r\nConnection: %s\r\n\r\n",
                         (unsigned long long)body_bytes, asks_close ? "close" : "keep-alive");
    connection->long_left_bytes = body_bytes;
    connection->ends = asks_close;
    return connection->owed_bytes == 0 && send(fd, head, (size_t)bytes, MSG_NOSIGNAL) == bytes;
}

static uint64_t number_at(const char *text)
{
    uint64_t number = 0;
    for (; *text >= '0' && *text <= '9' && number < LONG_BYTES_MAX; text++)
        number = number * 10 + (uint64_t)(*text - '0');
    return number;
}

/* Takes one whole head, which ends in a blank line. Returns false when the connection is to end. */
static bool take_head(int fd, struct connection *connection, const char *head, size_t count)
{
    static const char LENGTH[] = "content-length: ", CLOSE[] = "connection: close\r", LONG[] = "GET /bytes/";
    const char *end = head + count;
    bool asks_close = false;
    uint64_t body_bytes = 0;
    requests++;
    for (const char *line = head; line < end;) {
        /* One letter of two spares nearly every line the comparison. */
        if (((*line | 0x20) == 'c') && (size_t)(end - line) >= sizeof CLOSE) {
            if (strncasecmp(line, LENGTH, sizeof LENGTH - 1) == 0)
                body_bytes = number_at(line + sizeof LENGTH - 1);
            else if (strncasecmp(line, CLOSE, sizeof CLOSE - 1) == 0)
                asks_close = true;
        }
        line = (const char *)memchr(line, '\n', (size_t)(end - line)) + 1;
    }
    if (count > sizeof LONG && memcmp(head, LONG, sizeof LONG - 1) == 0)
        return begin_long(fd, connection, number_at(head + sizeof LONG - 1), asks_close);
    if (body_bytes == 0) {
        owe_answer(connection, asks_close);
    } else {
        connection->body_left_bytes = body_bytes;
        connection->asks_close = asks_close;
    }
    return true;
}

static void take_body(struct connection *connection, uint64_t count)
{
    connection->body_left_bytes -= count;
    if (connection->body_left_bytes == 0)
        owe_answer(connection, connection->asks_close);
}

/* Takes requests, whole and begun. Returns false when the connection is to end. */
static bool take_requests(int fd, struct connection *connection, const char *bytes, size_t count)
{
    const char *end = bytes + count;
    while (bytes < end && !connection->ends) {
        size_t left = (size_t)(end - bytes);
        if (connection->long_left_bytes > 0)
            return false;
        if (connection->body_left_bytes > 0) {
            size_t body = left < connection->body_left_bytes ? left : (size_t)connection->body_left_bytes;
            take_body(connection, body);
            bytes += body;
            continue;
        }
        const char *blank_line = memmem(bytes, left, "\r\n\r\n", 4);
        if (blank_line == NULL) {
            connection->head = left < HEAD_BYTES_MAX ? malloc(left) : NULL;
            if (connection->head == NULL)
                return false;
            memcpy(connection->head, bytes, left);
            connection->head_bytes = left;
            return true;
        }
        size_t head_bytes = (size_t)(blank_line - bytes) + 4;
        if (!take_head(fd, connection, bytes, head_bytes))
            return false;
        bytes += head_bytes;
    }
    return true;
}

/* Puts <bytes> behind the head that is kept, and takes what is whole by now. */
static bool take_rest(int fd, struct connection *connection, const char *bytes, size_t count)
{
    size_t whole_bytes = connection->head_bytes + count;
    char *whole = realloc(connection->head, whole_bytes);
    if (whole == NULL)
        die("out of memory");
    memcpy(whole + connection->head_bytes, bytes, count);
    connection->head = NULL;
    bool well = take_requests(fd, connection, whole, whole_bytes);
    free(whole);
    return well;
}

/* Reads once. Returns false when the connection is to end. */
static bool receive(int fd, struct connection *connection)
{
    static char bytes[READ_BYTES];
    bool in_body = connection->body_left_bytes > 0;
    uint64_t left = connection->body_left_bytes;
    size_t room = !in_body ? sizeof bytes : left < BODY_PART_BYTES ? (size_t)left : BODY_PART_BYTES;
    /* TCP with MSG_TRUNC throws the bytes away: no copy, and <bytes> is not written. */
    ssize_t count = recv(fd, bytes, room, in_body ? MSG_TRUNC : 0);
    if (count == -1)
        return errno == EAGAIN || errno == EINTR;
    if (count == 0) {
        connection->ends = true; /* half-closed: what it asked for is still answered */
        return true;
    }
    if (in_body) {
        take_body(connection, (uint64_t)count);
        return true;
    }
    if (connection->head != NULL)
        return take_rest(fd, connection, bytes, (size_t)count);
    return take_requests(fd, connection, bytes, (size_t)count);
}

/* Sends parts of a long body until the socket is full or others are due. */
static bool send_long(int fd, struct connection *connection)
{
    for (int part = 0; part < PARTS_PER_TURN && connection->long_left_bytes > 0; part++) {
        uint64_t left = connection->long_left_bytes;
        ssize_t sent = send(fd, body_part, left < BODY_PART_BYTES ? (size_t)left : BODY_PART_BYTES, MSG_NOSIGNAL);
        if (sent == -1)
            return errno == EAGAIN || errno == EINTR;
        connection->long_left_bytes -= (uint64_t)sent;
    }
    return true;
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
    struct connection *connection = &connections[fd];
    if (!connection->ends && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
        if (!receive(fd, connection))
            return end_connection(fd);
    } else if (connection->ends && (events & (EPOLLHUP | EPOLLERR)) != 0) {
        return end_connection(fd);
    }
    if (!send_owed(fd, connection) || !send_long(fd, connection))
        return end_connection(fd);
    bool wait = connection->owed_bytes > 0 || connection->long_left_bytes > 0;
    if (connection->ends && !wait)
        return end_connection(fd);
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
               "origin: answers every HTTP/1.1 request with one fixed 200 response, GET /bytes/N with N bytes.\n"
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
