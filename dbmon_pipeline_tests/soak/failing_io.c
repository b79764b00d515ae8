/*
 * Counts the file operations below a folder that write, and makes one of them fail.
 *
 * Preloaded into a process and those that it starts, which count together in a file that all of
 * them have mapped. The C library is where Python's writes and DuckDB's meet.
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
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

struct state { /* as in failing_io.py */
    _Atomic int64_t count;
    int64_t fail_at;
    int64_t error;
    int64_t linked_at; /* the last one that made a symbolic link */
    char folder[1024];
    char failed[1024];
};

static struct state *state;

__attribute__((constructor)) static void map_state(void) {
    const char *path = getenv("FAILING_IO_STATE");
    int descriptor = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (descriptor < 0) return;
    void *mapped = mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    close(descriptor);
    if (mapped != MAP_FAILED) state = mapped;
}

static int is_below(const char *path) {
    size_t length = strlen(state->folder);
    return length && !strncmp(path, state->folder, length) &&
           (path[length] == '/' || path[length] == '\0');
}

/* Whether this operation is the one that fails; errno is set then. */
static int fails(const char *operation, const char *path) {
    if (!is_below(path)) return 0;
    int64_t number = atomic_fetch_add(&state->count, 1) + 1;
    if (!strncmp(operation, "symlink", 7)) state->linked_at = number;
    if (number != state->fail_at) return 0;
    snprintf(state->failed, sizeof state->failed, "%s %s", operation, path);
    errno = (int)state->error;
    return 1;
}

static int fails_at(const char *operation, int folder, const char *name) {
    char link[64], path[2 * PATH_MAX];
    if (!state || !state->folder[0] || !name) return 0;
    if (name[0] == '/') return fails(operation, name);
    if (folder == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
    else snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    ssize_t length = readlink(link, path, PATH_MAX);
    if (length < 0) return 0;
    snprintf(path + length, sizeof path - (size_t)length, "/%s", name);
    return fails(operation, path);
}

static int fails_on(const char *operation, int descriptor) {
    char link[64], path[PATH_MAX];
    if (!state || !state->folder[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = '\0';
    return fails(operation, path);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* Operations on a descriptor. */
#define ON_DESCRIPTOR(result, name, parameters, arguments)                                         \
    result name parameters {                                                                       \
        return fails_on(#name, descriptor) ? -1 : REAL(name) arguments;                            \
    }
ON_DESCRIPTOR(ssize_t, write, (int descriptor, const void *data, size_t size),
              (descriptor, data, size))
ON_DESCRIPTOR(ssize_t, writev, (int descriptor, const struct iovec *data, int count),
              (descriptor, data, count))
ON_DESCRIPTOR(ssize_t, pwrite, (int descriptor, const void *data, size_t size, off_t at),
              (descriptor, data, size, at))
ON_DESCRIPTOR(ssize_t, pwrite64, (int descriptor, const void *data, size_t size, off64_t at),
              (descriptor, data, size, at))
ON_DESCRIPTOR(int, fsync, (int descriptor), (descriptor))
ON_DESCRIPTOR(int, fdatasync, (int descriptor), (descriptor))
ON_DESCRIPTOR(int, ftruncate, (int descriptor, off_t size), (descriptor, size))
ON_DESCRIPTOR(int, ftruncate64, (int descriptor, off64_t size), (descriptor, size))
ON_DESCRIPTOR(int, fchmod, (int descriptor, mode_t mode), (descriptor, mode))

/* Operations on a path, counted by the one that comes about or goes. */
#define ON_PATH(name, folder, path, parameters, arguments)                                         \
    int name parameters { return fails_at(#name, folder, path) ? -1 : REAL(name) arguments; }
ON_PATH(rename, AT_FDCWD, to, (const char *from, const char *to), (from, to))
ON_PATH(renameat, at, to, (int of, const char *from, int at, const char *to), (of, from, at, to))
ON_PATH(renameat2, at, to,
        (int of, const char *from, int at, const char *to, unsigned int flags),
        (of, from, at, to, flags))
ON_PATH(link, AT_FDCWD, to, (const char *from, const char *to), (from, to))
ON_PATH(linkat, at, to, (int of, const char *from, int at, const char *to, int flags),
        (of, from, at, to, flags))
ON_PATH(symlink, AT_FDCWD, to, (const char *target, const char *to), (target, to))
ON_PATH(symlinkat, at, to, (const char *target, int at, const char *to), (target, at, to))
ON_PATH(unlink, AT_FDCWD, path, (const char *path), (path))
ON_PATH(unlinkat, at, path, (int at, const char *path, int flags), (at, path, flags))
ON_PATH(rmdir, AT_FDCWD, path, (const char *path), (path))
int mkdir(const char *path, mode_t mode) { /* not counted where there is one, since it fails */
    if (access(path, F_OK) && fails_at("mkdir", AT_FDCWD, path)) return -1;
    return REAL(mkdir)(path, mode);
}
ON_PATH(mkdirat, at, path, (int at, const char *path, mode_t mode), (at, path, mode))
ON_PATH(chmod, AT_FDCWD, path, (const char *path, mode_t mode), (path, mode))
ON_PATH(fchmodat, at, path, (int at, const char *path, mode_t mode, int flags),
        (at, path, mode, flags))
ON_PATH(creat, AT_FDCWD, path, (const char *path, mode_t mode), (path, mode))
ON_PATH(creat64, AT_FDCWD, path, (const char *path, mode_t mode), (path, mode))

/* Files that are opened for writing. */
#define OPENING(name, folder, parameters, arguments)                                               \
    int name parameters {                                                                          \
        va_list more;                                                                              \
        va_start(more, flags);                                                                     \
        int makes = flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE;                           \
        mode_t mode = makes ? va_arg(more, mode_t) : 0;                                            \
        va_end(more);                                                                              \
        int writes = (flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC);               \
        return writes && fails_at(#name, folder, path) ? -1 : REAL(name) arguments;                \
    }
OPENING(open, AT_FDCWD, (const char *path, int flags, ...), (path, flags, mode))
OPENING(open64, AT_FDCWD, (const char *path, int flags, ...), (path, flags, mode))
OPENING(openat, at, (int at, const char *path, int flags, ...), (at, path, flags, mode))
OPENING(openat64, at, (int at, const char *path, int flags, ...), (at, path, flags, mode))
