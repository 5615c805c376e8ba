/* Preloaded into Sluice: a wall clock that leaps. CLOCK_REALTIME is off by as many seconds as the file in
 * SLUICE_TEST_CLOCK says at this moment, an int64 at its beginning; the monotonic clock is left alone, as by a
 * leap of a real one. Who waits until a time by the wall clock (a condition without another clock, which is what
 * the kernel's futex offers) waits by this one: longer when it leaps back, until the kernel is told. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* A wait ends after so long, as if woken for nothing, which POSIX allows: its caller looks what there is. To wait on in
 * here could lose who woke it in between. */
#define LOOK_NS 20000000
/* No time since the start of a machine is so long ago: what is behind it is by the wall clock. */
#define WALL_S_MIN 1000000000

static const int64_t none;
static const volatile int64_t *leap = &none;
static int (*real_clock_gettime)(clockid_t, struct timespec *);
static int (*real_cond_timedwait)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);

__attribute__((constructor)) static void open_clock(void)
{
    real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    real_cond_timedwait = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    const char *path = getenv("SLUICE_TEST_CLOCK");
    int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    void *shared = mmap(NULL, sizeof *leap, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (shared != MAP_FAILED) leap = shared;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    if (real_clock_gettime == NULL) open_clock(); /* asked by another library's constructor */
    int result = real_clock_gettime(clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += *leap;
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec precise;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &precise) != 0) return -1;
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *to)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (to != NULL) *to = now.tv_sec;
    return now.tv_sec;
}

static int is_before(const struct timespec *one, const struct timespec *other)
{
    return one->tv_sec != other->tv_sec ? one->tv_sec < other->tv_sec : one->tv_nsec < other->tv_nsec;
}

int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until)
{
    if (until->tv_sec < WALL_S_MIN) return real_cond_timedwait(cond, mutex, until);
    struct timespec now, look;
    clock_gettime(CLOCK_REALTIME, &now);
    if (!is_before(&now, until)) return ETIMEDOUT;
    real_clock_gettime(CLOCK_REALTIME, &look); /* what the kernel goes by */
    int64_t left_ns = LOOK_NS;
    if (until->tv_sec - now.tv_sec <= 1) {
        int64_t exact = (until->tv_sec - now.tv_sec) * 1000000000LL + until->tv_nsec - now.tv_nsec;
        if (exact < left_ns) left_ns = exact;
    }
    look.tv_nsec += left_ns;
    if (look.tv_nsec >= 1000000000) look.tv_sec++, look.tv_nsec -= 1000000000;
    int result = real_cond_timedwait(cond, mutex, &look);
    return result == ETIMEDOUT ? 0 : result;
}
