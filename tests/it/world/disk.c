/* A disk that fails when it is told to, and a clock that jumps: loaded before the C library
 * (LD_PRELOAD), it stands between the gateway and what the gateway writes its log to.
 *
 * What it is told lies in the file that TEST_DISK_ORDERS names, which both sides map: see
 * disk.rs. Only the log's own files are concerned, so that everything else goes on. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { READ = 1, WRITE = 2, SYNC = 4, TRUNCATE = 8 };
enum { FAIL = 0, TORN = 1, SHORT = 2, SLOW = 3 };

struct orders {
    uint32_t operations; /* which calls are concerned; 0: none */
    uint32_t manner;     /* how they go wrong */
    uint32_t error;      /* the errno that they fail with */
    uint32_t after;      /* so many of them are spared first */
    uint32_t times;      /* so many of them go wrong */
    uint32_t delay_ms;   /* how long each of those takes */
    uint32_t fired;      /* how many have gone wrong */
    uint32_t unused;
    int64_t clock_ms;    /* how far the wall clock is off */
    int64_t room;        /* how many bytes the log's files may have together; 0: any */
    int64_t passed_ms;   /* how much more time has passed, by every clock */
};

static struct orders *orders;

/* Loaded once: the C library's own functions are needed by every call below. */
static ssize_t (*real_read)(int, void *, size_t);
static ssize_t (*real_pread)(int, void *, size_t, off_t);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_ftruncate)(int, off_t);
static int (*real_clock_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void load(void) {
    real_read = dlsym(RTLD_NEXT, "read");
    real_pread = dlsym(RTLD_NEXT, "pread");
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate");
    real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    const char *path = getenv("TEST_DISK_ORDERS");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *map = mmap(NULL, sizeof *orders, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map != MAP_FAILED) orders = map;
    close(fd);
}

/* The path of an open file; its length, or -1. */
static ssize_t path_of(int fd, char path[4096]) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, 4095);
    if (length >= 0) path[length] = 0;
    return length;
}

static int is_of_the_log(int fd) {
    char path[4096];
    if (path_of(fd, path) < 0) return 0;
    const char *name = strrchr(path, '/');
    return name && strncmp(name, "/log.db", 7) == 0 && strcmp(name, "/log.db.lock") != 0;
}

/* Takes one from a counter that several threads share; whether there was one. */
static int take(uint32_t *counter) {
    uint32_t left = __atomic_load_n(counter, __ATOMIC_SEQ_CST);
    while (left > 0)
        if (__atomic_compare_exchange_n(counter, &left, left - 1, 0, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST))
            return 1;
    return 0;
}

/* Whether this call goes wrong. */
static int goes_wrong(int fd, uint32_t operation) {
    if (!orders || !(__atomic_load_n(&orders->operations, __ATOMIC_SEQ_CST) & operation)) return 0;
    int former = errno;
    int wrong = is_of_the_log(fd) && !take(&orders->after) && take(&orders->times);
    if (wrong) {
        __atomic_add_fetch(&orders->fired, 1, __ATOMIC_SEQ_CST);
        struct timespec delay = {orders->delay_ms / 1000, orders->delay_ms % 1000 * 1000000L};
        nanosleep(&delay, NULL);
    }
    errno = former;
    return wrong && orders->manner != SLOW;
}

/* Whether a write lets the log's files grow beyond the room that they have. */
static int has_no_room(int fd, size_t count, off_t at) {
    int64_t room = orders ? __atomic_load_n(&orders->room, __ATOMIC_SEQ_CST) : 0;
    if (room == 0) return 0;
    int former = errno, full = 0;
    char path[4096 + 8];
    struct stat file;
    if (is_of_the_log(fd) && fstat(fd, &file) == 0 && at + (off_t)count > file.st_size) {
        off_t bytes = at + (off_t)count - file.st_size;
        const char *ends[] = {"log.db", "log.db-wal", "log.db-shm"};
        path_of(fd, path);
        char *name = strrchr(path, '/') + 1;
        for (int n = 0; n < 3; n++) {
            strcpy(name, ends[n]);
            if (stat(path, &file) == 0) bytes += file.st_size;
        }
        full = bytes > room;
    }
    errno = full ? ENOSPC : former;
    return full;
}

static int failed(void) {
    errno = (int)orders->error;
    return -1;
}

ssize_t read(int fd, void *buffer, size_t count) {
    return goes_wrong(fd, READ) ? failed() : real_read(fd, buffer, count);
}

ssize_t pread(int fd, void *buffer, size_t count, off_t at) {
    return goes_wrong(fd, READ) ? failed() : real_pread(fd, buffer, count, at);
}

ssize_t pread64(int fd, void *buffer, size_t count, off_t at) {
    return pread(fd, buffer, count, at);
}

/* A torn write leaves its first half on the disk and fails; a short one tells so. */
ssize_t write(int fd, const void *buffer, size_t count) {
    if (!goes_wrong(fd, WRITE)) return real_write(fd, buffer, count);
    if (orders->manner == FAIL) return failed();
    ssize_t written = real_write(fd, buffer, (count + 1) / 2);
    return orders->manner == SHORT ? written : failed();
}

ssize_t pwrite(int fd, const void *buffer, size_t count, off_t at) {
    if (has_no_room(fd, count, at)) return -1;
    if (!goes_wrong(fd, WRITE)) return real_pwrite(fd, buffer, count, at);
    if (orders->manner == FAIL) return failed();
    ssize_t written = real_pwrite(fd, buffer, (count + 1) / 2, at);
    return orders->manner == SHORT ? written : failed();
}

ssize_t pwrite64(int fd, const void *buffer, size_t count, off_t at) {
    return pwrite(fd, buffer, count, at);
}

int fsync(int fd) { return goes_wrong(fd, SYNC) ? failed() : real_fsync(fd); }

int fdatasync(int fd) { return goes_wrong(fd, SYNC) ? failed() : real_fdatasync(fd); }

int ftruncate(int fd, off_t length) {
    return goes_wrong(fd, TRUNCATE) ? failed() : real_ftruncate(fd, length);
}

int ftruncate64(int fd, off_t length) { return ftruncate(fd, length); }

int clock_gettime(clockid_t clock, struct timespec *time) {
    int told = real_clock_gettime(clock, time);
    if (told == 0 && orders && (clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC)) {
        int64_t off = __atomic_load_n(&orders->passed_ms, __ATOMIC_SEQ_CST);
        if (clock == CLOCK_REALTIME) off += __atomic_load_n(&orders->clock_ms, __ATOMIC_SEQ_CST);
        int64_t nanos = time->tv_nsec + off % 1000 * 1000000;
        time->tv_sec += off / 1000 + (nanos < 0 ? -1 : nanos / 1000000000);
        time->tv_nsec = nanos < 0 ? nanos + 1000000000 : nanos % 1000000000;
    }
    return told;
}
