/* Preloaded into a process: makes file operations below a directory fail, or take long, as the test says.

   FAULTY_DIR   the directory; what lies elsewhere is left alone.
   FAULTY_PLAN  a file of three numbers, a struct plan, that is mapped: what a test writes to it holds at once.

   Only the operations that neurockt and Arrow use to write are covered; reading fails only where `reading` asks for it.
*/
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct plan {
    _Atomic int32_t error;     /* errno of what fails; 0: nothing fails */
    _Atomic int32_t which;     /* a bit for each operation below */
    _Atomic int32_t one_in;    /* of so many operations one fails, by chance; 1: each */
    _Atomic int32_t delay_ms;  /* the operations of `which` take so long */
    _Atomic int32_t stale;     /* descriptors opened before this rises fail for ever with `error` */
    _Atomic int32_t failed;    /* how many have failed */
    _Atomic int32_t short_writes; /* a write that fails stores a part of its bytes first */
    _Atomic int32_t seed;
};

enum { WRITE = 1, FSYNC = 2, OPEN = 4, RENAME = 8, TRUNCATE = 16, READ = 32, MKDIR = 64, STAT = 128 };

static struct plan *plan;
static const char *directory;
static int32_t opened_at[65536];

__attribute__((constructor)) static void begin(void) {
    int (*real_open)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
    const char *path = getenv("FAULTY_PLAN");
    directory = getenv("FAULTY_DIR");
    int fd = path ? real_open(path, O_RDWR) : -1;
    if (fd < 0) return;
    plan = mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (plan == MAP_FAILED) plan = NULL;
}

static int below(const char *path) {
    size_t length = strlen(directory);
    return strncmp(path, directory, length) == 0 && (path[length] == '/' || path[length] == 0);
}

static int descriptor_below(int fd) {
    char link[32], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return below(path);
}

/* Whether this operation fails; sets errno. */
static int fails(int operation) {
    if (!(plan->which & operation)) return 0;
    if (plan->delay_ms) usleep(1000 * plan->delay_ms);
    if (!plan->error) return 0;
    if (plan->one_in > 1) {
        uint32_t x = (uint32_t)atomic_fetch_add(&plan->seed, 1) * 2654435761u;
        x ^= x >> 15; x *= 2246822519u; x ^= x >> 13;
        if (x % (uint32_t)plan->one_in) return 0;
    }
    plan->failed++;
    errno = plan->error;
    return 1;
}

static int is_stale(int fd) { return fd >= 0 && fd < 65536 && opened_at[fd] < plan->stale; }

static int descriptor_fails(int operation, int fd) {
    if (!plan || (!plan->which && !plan->stale) || !descriptor_below(fd)) return 0;
    if (is_stale(fd)) {
        plan->failed++;
        errno = ESTALE;
        return 1;
    }
    return fails(operation);
}

static int path_fails(int operation, const char *path) { return plan && plan->which && below(path) && fails(operation); }

#define REAL(name, type, ...) static type (*real)(__VA_ARGS__); if (!real) real = dlsym(RTLD_NEXT, name)

ssize_t write(int fd, const void *data, size_t size) {
    REAL("write", ssize_t, int, const void *, size_t);
    if (descriptor_fails(WRITE, fd)) {
        static _Atomic int again;
        if (!plan->short_writes || is_stale(fd) || size < 2 || again++ % 2) return -1;
        return real(fd, data, size / 2); /* as a disk that fills up: the next one has no room at all */
    }
    return real(fd, data, size);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
    REAL("pwrite64", ssize_t, int, const void *, size_t, off64_t);
    return descriptor_fails(WRITE, fd) ? -1 : real(fd, data, size, offset);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { return pwrite64(fd, data, size, offset); }

ssize_t pread64(int fd, void *data, size_t size, off64_t offset) {
    REAL("pread64", ssize_t, int, void *, size_t, off64_t);
    return descriptor_fails(READ, fd) ? -1 : real(fd, data, size, offset);
}
ssize_t pread(int fd, void *data, size_t size, off_t offset) { return pread64(fd, data, size, offset); }

ssize_t read(int fd, void *data, size_t size) {
    REAL("read", ssize_t, int, void *, size_t);
    return descriptor_fails(READ, fd) ? -1 : real(fd, data, size);
}

int fsync(int fd) {
    REAL("fsync", int, int);
    return descriptor_fails(FSYNC, fd) ? -1 : real(fd);
}

int ftruncate64(int fd, off64_t length) {
    REAL("ftruncate64", int, int, off64_t);
    return descriptor_fails(TRUNCATE, fd) ? -1 : real(fd, length);
}
int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

int open64(const char *path, int flags, ...) {
    REAL("open64", int, const char *, int, ...);
    va_list arguments;
    va_start(arguments, flags);
    int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, int) : 0;
    va_end(arguments);
    if (path_fails(OPEN, path)) return -1;
    int fd = real(path, flags, mode);
    if (plan && fd >= 0 && fd < 65536) opened_at[fd] = plan->stale;
    return fd;
}
int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, int) : 0;
    va_end(arguments);
    return open64(path, flags, mode);
}

int rename(const char *from, const char *to) {
    REAL("rename", int, const char *, const char *);
    return path_fails(RENAME, to) ? -1 : real(from, to);
}

int mkdir(const char *path, mode_t mode) {
    REAL("mkdir", int, const char *, mode_t);
    return path_fails(MKDIR, path) ? -1 : real(path, mode);
}

int stat64(const char *path, struct stat64 *status) {
    REAL("stat64", int, const char *, struct stat64 *);
    return path_fails(STAT, path) ? -1 : real(path, status);
}
int stat(const char *path, struct stat *status) { return stat64(path, (struct stat64 *)status); }
