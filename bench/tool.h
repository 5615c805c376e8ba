/* What the bench tools share: flags, limits, the clock, addresses, and reading one HTTP answer.
 * Every tool is one thread, stays inside 127.0.0.0/8, ends by itself at --seconds, prints key=value
 * lines on stdout, complains on stderr, and exits 0 (done), 1 (could not) or 2 (called wrongly). */
#ifndef BENCH_TOOL_H
#define BENCH_TOOL_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000ull

__attribute__((noreturn, format(printf, 1, 2))) static inline void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

static inline uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* One flag of a tool: a whole number within [min, max], or a text when <text> is set. */
struct flag {
    const char *name; /* with its dashes */
    const char *help;
    uint64_t *number;
    uint64_t min, max;
    const char **text;
};

static inline void print_help(FILE *out, const char *about, const struct flag *flags, int count)
{
    fprintf(out, "%s\n\nFlags (each takes a value):\n", about);
    for (int f = 0; f < count; f++) {
        if (flags[f].text != NULL)
            fprintf(out, "  %-14s %s (default %s)\n", flags[f].name, flags[f].help, *flags[f].text);
        else
            fprintf(out, "  %-14s %s (default %llu)\n", flags[f].name, flags[f].help,
                    (unsigned long long)*flags[f].number);
    }
}

/* Sets <flag> from <value>; false when it is not a whole number in range. */
static inline bool set_flag(const struct flag *flag, const char *value)
{
    if (flag->text != NULL) {
        *flag->text = value;
        return true;
    }
    char *end = NULL;
    errno = 0;
    unsigned long long number = strtoull(value, &end, 10);
    if (errno != 0 || end == value || *end != '\0' || *value == '-')
        return false;
    if (number < flag->min || number > flag->max)
        return false;
    *flag->number = number;
    return true;
}

/* Reads the command line. --help prints and exits 0; anything not in the table exits 2. */
static inline void read_flags(int argc, char **argv, const char *about, const struct flag *flags, int count)
{
    for (int a = 1; a < argc; a++) {
        if (strcmp(argv[a], "--help") == 0) {
            print_help(stdout, about, flags, count);
            exit(0);
        }
        int found = -1;
        for (int f = 0; f < count; f++)
            if (strcmp(argv[a], flags[f].name) == 0)
                found = f;
        if (found == -1 || a + 1 == argc || !set_flag(&flags[found], argv[a + 1])) {
            fprintf(stderr, "%s: unknown flag, or its value is missing or out of range\n\n", argv[a]);
            print_help(stderr, about, flags, count);
            exit(2);
        }
        a++;
    }
}

/* Raises the number of open files to the hard limit and returns it. */
static inline uint64_t raise_nofile(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        die("getrlimit: %s", strerror(errno));
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        die("setrlimit: %s", strerror(errno));
    return limit.rlim_cur;
}

/* 127.0.0.<last>:<port>. */
static inline struct sockaddr_in loopback(uint32_t last, uint16_t port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
    address.sin_addr.s_addr = htonl(0x7f000000u | last);
    return address;
}

/* Starts a non-blocking connect to 127.0.0.1:<port> from 127.0.0.<source> and returns the fd, or
 * -errno. The port is chosen at connect, not at bind: each source address has the whole range. */
static inline int start_connect(uint16_t port, uint32_t source)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd == -1)
        return -errno;
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    struct sockaddr_in from = loopback(source, 0), to = loopback(1, port);
    int failed = bind(fd, (struct sockaddr *)&from, sizeof from);
    if (failed == 0)
        failed = connect(fd, (struct sockaddr *)&to, sizeof to);
    if (failed == -1 && errno != EINPROGRESS) {
        int reason = errno;
        close(fd);
        return -reason;
    }
    return fd;
}

/* How a connect that became writable ended: 0 or an errno. */
static inline int connect_result(int fd)
{
    int reason = 0;
    socklen_t size = sizeof reason;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &reason, &size) == -1)
        return errno;
    return reason;
}

static inline void watch(int poll_fd, int operation, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event event = { .events = events, .data = { .u64 = data } };
    if (epoll_ctl(poll_fd, operation, fd, &event) == -1)
        die("epoll_ctl: %s", strerror(errno));
}

/* Matches one byte more of <pattern> (lower case, its first byte nowhere else in it), starting from
 * <matched>; letters of either case match. Returns how many bytes match now. */
static inline uint8_t match_more(const char *pattern, uint8_t matched, char byte)
{
    char lower = byte >= 'A' && byte <= 'Z' ? (char)(byte + 32) : byte;
    if (lower == pattern[matched])
        return (uint8_t)(matched + 1);
    return lower == pattern[0] ? 1 : 0;
}

/* Bytes of the blank line seen so far, of "\r\n\r\n". */
static inline uint8_t match_blank_line(uint8_t matched, char byte)
{
    if (byte == '\r')
        return matched == 2 ? 3 : 1;
    if (byte == '\n')
        return matched == 1 ? 2 : matched == 3 ? 4 : 0;
    return 0;
}

/* Where we are in one HTTP/1.1 answer with a Content-Length. All zero is its start. */
struct answer {
    uint64_t body_left_bytes;
    uint8_t blank_line; /* 4: the head is over */
    uint8_t length_name;
};

/* Takes bytes of an answer and returns true once it is whole. Bytes past its end are not looked at:
 * our clients never have two requests open on one connection. */
static inline bool answer_take(struct answer *answer, const char *bytes, size_t count)
{
    static const char name[] = "\r\ncontent-length:";
    size_t at = 0;
    for (; at < count && answer->blank_line < 4; at++) {
        char byte = bytes[at];
        answer->blank_line = match_blank_line(answer->blank_line, byte);
        if (answer->length_name < sizeof name - 1)
            answer->length_name = match_more(name, answer->length_name, byte);
        else if (byte >= '0' && byte <= '9')
            answer->body_left_bytes = answer->body_left_bytes * 10 + (uint64_t)(byte - '0');
        else if (byte == '\r')
            answer->length_name = 1;
    }
    if (answer->blank_line < 4)
        return false;
    uint64_t body = count - at;
    answer->body_left_bytes -= body < answer->body_left_bytes ? body : answer->body_left_bytes;
    return answer->body_left_bytes == 0;
}

#endif
